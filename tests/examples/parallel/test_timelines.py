#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Figures 7-1, 7-2, 7-3 and 7-7 as figures07_timelines draws them: the charts against the steps that it lists, and
these against what has to be so, however slow the machine is.

test_timelines.py DIRECTORY [TEST ...]     DIRECTORY: where the program is
"""
import contextlib
import itertools
import os
import re
import shutil
import sys
import tempfile
import xml.etree.ElementTree

import runner
from timelines import PAGES, SENSORS, TITLES, Figure, Server, answer_with, backwards_server, commits_server, nobody
from timelines import sensors_server

programs = runner.Programs(sys.argv[1])
PROGRAM = "figures07_timelines"
SERVERS = ["server 1", "server 2", "server 3"]
SVG = "{http://www.w3.org/2000/svg}"


def figures(run):
    run.succeeds()
    return {figure.number: figure for figure in map(Figure, run.out.split("\n\n"))}


def run_figure(number, url, *options):
    run = programs.run(PROGRAM, "--figure", number, "--server", url, "--timeout", runner.HANGS, "--steps", *options)
    drawn = figures(run)
    assert list(drawn) == [number]
    return drawn[number]


# ---- The figures ----

def test_figure1_one_after_another():
    with sensors_server() as server:
        figure = run_figure("1", server.url).check(["main"])
    assert server.paths == 3 * ["/v/2.0/sensors/"] and server.most == 1, "never two requests at the same time"
    assert figure.columns("main") == 3 * "C.DP", "nothing else, and in this order"
    assert [(step.name, step.about) for step in figure.steps] == [
        (name, about) for about in SERVERS for name in ("connect", "the answer", "download", "parse")]


def test_figure2_waits_at_the_same_time_and_parses_in_one_place():
    with backwards_server() as server:
        figure = run_figure("2", server.url).check(["main"] + SERVERS)
    assert server.most == 3
    waits = [step for step in figure.steps if step.name == "the answer"]
    assert sorted(step.lane for step in waits) == SERVERS
    for lane in SERVERS:
        assert figure.columns(lane) == "C.D" and all(step.about == lane for step in figure.of(lane))
    for one, other in itertools.combinations(waits, 2):
        assert one.overlaps(other)
    assert_dots_above_one_another(figure)
    parsed = [step for step in figure.steps if step.name == "parse"]
    assert all(step.lane == "main" for step in parsed) and len(parsed) == 3
    ends = sorted((step for step in figure.steps if step.name == "download"), key=lambda step: step.end)
    assert [step.about for step in parsed] == [step.about for step in ends], "in the order in which they have come"
    assert all(come.end <= step.begin for come, step in zip(ends, parsed)), "and not before"
    assert re.fullmatch(r"S\.P(\.P){2}", figure.columns("main"))


def assert_dots_above_one_another(figure):
    assert any(set(column) == {"."} for column in zip(*map(figure.lanes.get, SERVERS))), figure.lanes


def test_figure3_each_thread_does_all_of_one():
    with sensors_server(at_once=3) as server:
        figure = run_figure("3", server.url).check(["main"] + SERVERS)
    assert server.most == 3
    for lane in SERVERS:
        assert figure.columns(lane) == "C.DP" and all(step.about == lane for step in figure.of(lane))
    waits = [step for step in figure.steps if step.name == "the answer"]
    for one, other in itertools.combinations(waits, 2):
        assert one.overlaps(other)
    assert_dots_above_one_another(figure)
    assert figure.columns("main") == "S." and figure.of("main")[1].end >= max(step.end for step in figure.steps)


def test_figures_2_and_3_make_all_requests_before_the_first_answer():
    """Where nobody answers before three have asked, 7-1 waits in vain."""
    with sensors_server(at_once=3) as server:
        programs.run(PROGRAM, "--figure", "1", "--server", server.url, "--timeout", "0.5").fails("no answer in time")
        server.give_up()


def test_figure7_fetch_and_parse():
    with commits_server() as server:
        check_figure7(run_figure("7", server.url))
    assert sorted(server.paths) == sorted("/repos/" + page for page in PAGES) and server.most == 1


def check_figure7(figure):
    figure.check(["main", "fetch", "parse"])
    main, fetch, parse = map(figure.of, figure.lanes)
    assert figure.columns("main") == "S.E" and figure.columns("fetch") == 7 * ".F" + "."
    assert re.fullmatch(r"(\.P)+\.", figure.columns("parse")), "it waits at first, and at last"
    fetched = [step for step in fetch if not step.waits]
    parsed = [step for step in parse if not step.waits]
    assert sorted(step.about for step in fetched) == sorted(PAGES), "each page once"
    assert [step.about for step in parsed] == [step.about for step in fetched], "each, in its turn"
    assert parsed[0].begin >= fetched[1].end, "both of the first are waited for"
    for number, (got, step) in enumerate(zip(fetched, parsed)):
        assert got.end <= step.begin, "none is parsed before it is there"
        found_in = [other for other in parsed if next_page(other.about) == got.about]
        assert len(found_in) == (number > 1), "it was found in the page before"
        assert all(other.begin <= got.begin for other in found_in), "nor got before it was found"
    for before, step in zip(parse, parse[1:]):
        if before.waits and not step.waits:
            busy = [got for got in fetched if got.begin < step.begin < got.end]
            assert not busy, "it resumes when all that was asked for is there"
    others = fetch + parse
    assert main[0].begin <= min(step.begin for step in others)
    assert main[2].begin >= max(step.end for step in others), "main goes on when the others have ended"


def next_page(page):
    last = page in (PAGES[2], PAGES[-1])
    return None if last else PAGES[PAGES.index(page) + 1]


def test_all_with_a_server_of_its_own():
    drawn = figures(programs.run(PROGRAM, "--latency", 20, "--steps"))
    assert list(drawn) == ["1", "2", "3", "7"]
    for number, lanes in (("1", ["main"]), ("2", ["main"] + SERVERS), ("3", ["main"] + SERVERS)):
        drawn[number].check(lanes)
        waits = [step for step in drawn[number].steps if step.name == "the answer"]
        assert len(waits) == 3 and all(step.end - step.begin > 9.9 for step in waits), "half of the latency at least"
    check_figure7(drawn["7"])
    without = programs.run(PROGRAM, "--latency", 0).succeeds()
    assert without.out.count("Figure 7-") == 4 and "  does  " not in without.out, "steps only if asked"


def test_server_may_end_in_a_slash():
    with sensors_server() as server:
        run_figure("1", server.url + "/").check(["main"])
    assert server.paths == 3 * ["/v/2.0/sensors/"]
    with commits_server() as server:
        check_figure7(run_figure("7", server.url + "/"))


def test_width():
    for width in (20, 72, 300):
        with commits_server() as server:
            figure = run_figure("7", server.url, "--width", width)
        check_figure7(figure)  # each step has its column, also where there are more of them than asked for
        columns = len(figure.lanes["main"])
        assert columns == width if width == 300 else columns >= width, columns
    with sensors_server() as server:
        assert len(run_figure("1", server.url).lanes["main"]) == 72


# ---- What goes wrong ----

def test_bad_arguments():
    for args, words in ((["--figure", "4"], ["--figure", "'4'"]), (["--figure", ""], ["--figure", "''"]),
                        (["--figure", "7-1"], ["--figure", "'7-1'"]), (["--figure"], ["--figure"]),
                        (["--latency", "5", "--server", "http://127.0.0.1:1"], ["--latency", "--server"]),
                        (["--latency", "-1"], ["--latency"]), (["--latency", "x"], ["--latency", "'x'"]),
                        (["--timeout", "0"], ["--timeout"]), (["--width", "5"], ["--width"]),
                        (["--picture", ""], ["--picture"]), (["--picture"], ["--picture"]),
                        (["something"], ["something"]), (["--nothing"], ["--nothing"])):
        programs.run(PROGRAM, *args).fails("(try --help)", *words, status=2).prints("")
    help_text = programs.run(PROGRAM, "--help").succeeds().out
    for option in ("figure", "server", "latency", "timeout", "width", "steps", "picture"):
        assert "--" + option in help_text


def each_figure_fails(url, *words, options=()):
    for number in TITLES:
        run = programs.run(PROGRAM, "--figure", number, "--server", url, *options).fails(*words)
        assert "Figure" not in run.out, "no chart of what has failed"


def test_refused():
    with nobody() as url:
        each_figure_fails(url, url, "Connection refused")


def test_not_a_url():
    each_figure_fails("nonsense", "not a URL")
    each_figure_fails("", "not a URL")
    each_figure_fails("https://127.0.0.1", "only http:// is spoken here")
    each_figure_fails("http://127.0.0.1:1/" + "x" * 5000, "too long an address")


def test_bad_answers():
    for what, words in ((answer_with({"error": "broken"}, "500 Oops"), "500"), (answer_with("{"), "JSON"),
                        (answer_with("3"), "JSON"), (answer_with({"sensors": 3}), "list"),
                        (b"what?\r\n\r\n", "HTTP"), (answer_with("x" * 100)[:-10], "closed")):
        with Server(lambda path, what=what: what) as server:
            each_figure_fails(server.url, server.url, words)


def test_no_answer():
    with Server(lambda path: None) as server:
        each_figure_fails(server.url, "no answer in time", options=["--timeout", "0.3"])


def test_one_of_three_fails():
    """The others' answers are there, and are freed; there is one line."""
    for number in "123":
        count = itertools.count(1)
        answers = {1: answer_with(SENSORS), 2: answer_with("?"), 3: answer_with(SENSORS)}
        with Server(lambda path, count=count, answers=answers: answers[next(count)]) as server:
            programs.run(PROGRAM, "--figure", number, "--server", server.url).fails("JSON")


def test_pages_without_end():
    server = Server(lambda path: answer_with([], headers='Link: <%s/repos/a/b>; rel="next"\r\n' % server.url))
    with server:
        programs.run(PROGRAM, "--figure", "7", "--server", server.url).fails("more than 100 pages")
    assert len(server.paths) <= 102


def test_figures_before_a_failure_are_shown():
    with sensors_server() as server:  # which knows no commits
        run = programs.run(PROGRAM, "--server", server.url).fails("not a list of commits")
    run.check(re.findall(r"^Figure 7-(\d)", run.out, flags=re.M) == ["1", "2", "3"], "the others")


def test_no_descriptors():
    run = runner.Run(["sh", "-c", 'ulimit -n 6; exec "$0" --latency 0', programs.path(PROGRAM)])
    run.command = [programs.path(PROGRAM)]
    run.fails("Too many open files")


def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        programs.run(PROGRAM, "--latency", 0, stdout=full).fails("cannot write the output")


# ---- Pictures ----

@contextlib.contextmanager
def directory():
    with tempfile.TemporaryDirectory() as path:
        yield path


def check_svg(path, drawn):
    root = xml.etree.ElementTree.parse(path).getroot()
    assert root.tag == SVG + "svg"
    words = [text.text for text in root.iter(SVG + "text")]
    for figure in drawn.values():
        assert any(word.startswith("Figure 7-%s, %s: " % (figure.number, TITLES[figure.number])) for word in words)
    lanes = [word for word in words if word in ("main", "fetch", "parse") or word in SERVERS]
    expected = [lane for figure in drawn.values() for lane in figure.lanes]
    assert lanes[:len(expected)] == expected, "a line for each context"
    tips = [title.text for title in root.iter(SVG + "title")]
    assert len(tips) == sum(len(figure.steps) for figure in drawn.values()), "a bar for each step"
    for figure in drawn.values():
        for step in figure.steps:
            what = ("waiting for " if step.waits else "") + step.name + (", " + step.about if step.about else "")
            assert any(tip.startswith(what + ": ") and tip.endswith(" ms") for tip in tips), what
    width, height = float(root.get("width")), float(root.get("height"))
    for bar in root.iter(SVG + "rect"):
        x, y = float(bar.get("x", 0)), float(bar.get("y", 0))
        assert x >= 0 and y >= 0 and x + float(bar.get("width")) <= width and y + float(bar.get("height")) <= height


def test_pictures():
    if not shutil.which("gnuplot"):
        print("# gnuplot is not installed")
        return
    with directory() as place:
        base = os.path.join(place, "a picture's \"name\" & more")
        run = programs.run(PROGRAM, "--latency", 5, "--steps", "--picture", base).succeeds()
        run.check(run.out.endswith("\n\nDrawn: %s.svg, %s.png\n" % (base, base)), "what was drawn")
        run.out = run.out[:run.out.index("\n\nDrawn")]
        assert sorted(os.listdir(place)) == sorted(os.path.basename(base) + end for end in (".svg", ".png"))
        check_svg(base + ".svg", figures(run))
        with open(base + ".png", "rb") as png:
            data = png.read()
        assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(b"IEND\xaeB`\x82"), "a whole PNG picture"
        assert len(data) > 1000, "with something in it"


def test_picture_without_gnuplot():
    with directory() as place:
        base = os.path.join(place, "figure")
        run = runner.Run(["env", "PATH=" + place, programs.path(PROGRAM), "--latency", "0", "--figure", "1", "--steps",
                          "--picture", base])
        run.command = run.command[2:]
        run.fails("gnuplot is not installed", base + ".png")
        assert os.listdir(place) == ["figure.svg"]
        run.status, run.err = 0, ""
        check_svg(base + ".svg", figures(run))  # the chart and the SVG are there all the same


def test_gnuplot_that_fails():
    for script, words in (("echo 'line 3: cannot do that' >&2; exit 1", ["gnuplot", "cannot do that"]),
                          ("cat >/dev/null; exit 0", ["gnuplot", "nothing"]), ("exit 5", ["gnuplot", "5"])):
        with directory() as place:
            with open(os.path.join(place, "gnuplot"), "w") as file:
                file.write("#!/bin/sh\n%s\n" % script)
            os.chmod(file.name, 0o755)
            run = runner.Run(["env", "PATH=%s:%s" % (place, os.environ["PATH"]), programs.path(PROGRAM),
                              "--latency", "0", "--figure", "1", "--picture", os.path.join(place, "figure")])
            run.command = run.command[2:]
            run.fails(*words)
            assert sorted(os.listdir(place)) == ["figure.svg", "gnuplot"]


def test_picture_that_cannot_be_written():
    with directory() as place:
        base = os.path.join(place, "missing", "figure")
        draw = [PROGRAM, "--latency", 0, "--figure", 1, "--picture"]
        programs.run(*draw, base).fails(base + ".svg", "No such file")
        os.mkdir(os.path.join(place, "figure.svg"))
        programs.run(*draw, os.path.join(place, "figure")).fails("directory")
        os.symlink("/dev/full", os.path.join(place, "full.svg"))
        programs.run(*draw, os.path.join(place, "full")).fails("No space")
        assert sorted(os.listdir(place)) == ["figure.svg"], "half a picture is none"


if __name__ == "__main__":
    sys.exit(runner.main(dict(globals()), sys.argv[2:]))
