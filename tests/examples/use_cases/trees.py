# SPDX-License-Identifier: MIT
"""Random folders to copy, and what is in a folder, for the tests of responsive_copy."""
import hashlib
import os
import random
import stat

# Around the size of the pieces in which files are copied, and around a page.
SIZES = [0, 1, 4095, 4096, 4097, 262143, 262144, 262145, 600000]
NAMES = [b"with space", b"new\nline", b"quo'te\"", b"\xff\xfe not utf-8", b"-rf", b"\xc3\xa4", b"x" * 255, b".hidden",
         b"back\\slash", b"*", b"$HOME", b".responsive_copy-"]


def write(path, data, mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def set_random_times(path, r):
    times = (r.randrange(10**9, 17 * 10**17), r.randrange(10**9, 17 * 10**17))
    os.utime(path, ns=times, follow_symlinks=False)


def make_file(path, r):
    if r.random() < 0.1:  # with holes
        with open(path, "wb") as f:
            for _ in range(r.randrange(3)):
                f.seek(r.randrange(2000000))
                f.write(r.randbytes(r.randrange(5000)))
            f.truncate(r.randrange(2000000, 2500000))
    else:
        write(path, r.randbytes(r.choice(SIZES) if r.random() < 0.5 else r.randrange(20000)))
    os.chmod(path, r.choice([0o644, 0o600, 0o755, 0o444, 0o777, 0o1644, 0o400]))


def make_tree(path, r, entries):
    """Make the folder `path`, with so many entries in it and below."""
    os.mkdir(path)
    folders = [path]
    for number in range(entries):
        child = os.path.join(r.choice(folders), r.choice(NAMES) if r.random() < 0.3 else b"%d" % number)
        if os.path.lexists(child):
            continue
        what = r.random()
        if what < 0.2 and len(child) < 1000:
            os.mkdir(child)
            folders.append(child)
        elif what < 0.35:
            os.symlink(r.choice([b"/nonexistent", b"..", b"\xff" + b"y" * 1000, b"0", b"/etc/passwd"]), child)
            set_random_times(child, r)
        else:
            make_file(child, r)
            set_random_times(child, r)
    for folder in reversed(folders):
        os.chmod(folder, r.choice([0o755, 0o700, 0o777, 0o1777]))
        set_random_times(folder, r)


def describe(path):
    """What a file or folder is: all that a copy keeps."""
    st = os.lstat(path)
    if stat.S_ISLNK(st.st_mode):
        return "link", os.readlink(path), st.st_mtime_ns
    if stat.S_ISDIR(st.st_mode):
        return "folder", st.st_mode & 0o1777, st.st_mtime_ns
    with open(path, "rb") as f:
        return "file", st.st_mode & 0o1777, st.st_mtime_ns, st.st_size, hashlib.sha256(f.read()).digest()


def contents(path):
    """A dictionary of everything in a folder, by its name there; the folder itself has the name b"."."""
    path = os.fsencode(path)
    found = {b".": describe(path)}
    for directory, folders, files in os.walk(path):
        for name in folders + files:
            full = os.path.join(directory, name)
            found[os.path.relpath(full, path)] = describe(full)
    return found


def differences(expected, got):
    """The names of what is not the same in two dictionaries of contents()."""
    return sorted(n for n in expected.keys() | got.keys() if expected.get(n) != got.get(n))


def seeded():
    """A generator of random numbers, and the seed to repeat it with: CONC_TEST_SEED."""
    seed = int(os.environ.get("CONC_TEST_SEED") or random.SystemRandom().randrange(10**9))
    print("# seed %d" % seed)
    return random.Random(seed)
