/* SPDX-License-Identifier: MIT
 *
 * Tests of blocks of shared memory.
 */
#include "sharing.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const size_t page = 4096;

static void test_alloc_gives_zeroed_memory_of_whole_pages(void **state)
{
    static const size_t sizes[] = {1, 100, 4095, 4096, 4097, 65536, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *block = shared_block(sizes[i]);
        size_t whole = (sizes[i] + page - 1) / page * page;
        assert_int_equal((uintptr_t)block % page, 0);
        for (size_t k = 0; k < whole; k++)
            assert_int_equal(block[k], 0);
        memset(block, 0xff, whole);
        assert_int_equal(conc_shared_free(block), 0);
    }
}

static void test_alloc_with_a_bad_size_says_einval(void **state)
{
    void *block = state;
    assert_int_equal(conc_shared_new(&block, 0), -EINVAL);
    assert_int_equal(conc_shared_new(&block, SIZE_MAX), -EINVAL);
    assert_int_equal(conc_shared_new(&block, PTRDIFF_MAX), -EINVAL);
    assert_int_equal(conc_shared_new(&block, (size_t)1 << 61), -ENOMEM);
    assert_ptr_equal(block, state);
}

static void test_alloc_out_of_memory_leaves_nothing(void **state)
{
    void *block = state;
    int before = count_descriptors();
    fail_alloc(1);
    assert_int_equal(conc_shared_new(&block, 10), -ENOMEM);
    assert_ptr_equal(block, state);
    assert_int_equal(count_descriptors(), before);
}

static void test_alloc_out_of_descriptors_says_emfile(void **state)
{
    void *block = state, *first = shared_block(1);
    int fd = conc_shared_fd(first);
    limit_descriptors(1);
    assert_int_equal(conc_shared_new(&block, 10), -EMFILE);
    assert_int_equal(conc_shared_map(&block, NULL, fd), -EMFILE);
    limit_descriptors(0);
    assert_ptr_equal(block, state);
    assert_int_equal(conc_shared_free(first), 0);
}

static void test_free_of_what_is_no_block_says_einval(void **state)
{
    char *block = shared_block(2 * page);
    assert_int_equal(conc_shared_free(NULL), 0);
    assert_int_equal(conc_shared_free(block + page), -EINVAL);
    assert_int_equal(conc_shared_free(&block), -EINVAL);
    assert_int_equal(conc_shared_fd(block + 1), -EINVAL);
    assert_int_equal(conc_shared_free(block), 0);
    assert_int_equal(conc_shared_free(block), -EINVAL);
    assert_int_equal(conc_shared_fd(block), -EINVAL);
}

static void write_hello(void *block) { strcpy(block, "hello"); }

static void test_what_a_child_writes_the_parent_reads(void **state)
{
    char *block = shared_block(100);
    assert_int_equal(child_end(child_start(write_hello, block)), SIGKILL);
    assert_string_equal(block, "hello");
    assert_int_equal(conc_shared_free(block), 0);
}

static void free_it(void *block)
{
    CHECK_EQUAL(conc_shared_free(block), 0);
    CHECK_EQUAL(conc_shared_free(block), -EINVAL);
    void *own = shared_block(50); /* the child may go on */
    CHECK_EQUAL(conc_shared_free(own), 0);
}

static void test_free_in_a_child_leaves_the_parents_block(void **state)
{
    char *block = shared_block(100);
    block[0] = 1;
    assert_int_equal(child_end(child_start(free_it, block)), SIGKILL);
    assert_int_equal(block[0], 1);
    assert_true(conc_shared_fd(block) >= 0);
    assert_int_equal(conc_shared_free(block), 0);
}

static void test_map_gives_another_view_of_the_same(void **state)
{
    char *block = shared_block(10000);
    void *view;
    size_t size = 0;
    assert_int_equal(conc_shared_map(&view, &size, conc_shared_fd(block)), 0);
    assert_int_equal(size, 3 * page);
    assert_ptr_not_equal(view, block);
    strcpy(block + 9000, "there");
    assert_int_equal(conc_shared_free(block), 0);
    assert_string_equal((char *)view + 9000, "there");
    assert_true(conc_shared_fd(view) >= 0);
    assert_int_equal(conc_shared_free(view), 0);
}

static void test_map_of_a_foreign_descriptor_says_einval(void **state)
{
    void *view = state;
    int fds[2], file = memfd_create("foreign", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    make_pipe(fds);
    assert_int_equal(ftruncate(file, 4096), 0);
    assert_int_equal(conc_shared_map(&view, NULL, fds[0]), -EINVAL);
    assert_int_equal(conc_shared_map(&view, NULL, file), -EINVAL);
    close(file);
    close_both(fds);
    assert_int_equal(conc_shared_map(&view, NULL, -1), -EBADF);
    assert_int_equal(conc_shared_map(&view, NULL, fds[0]), -EBADF);
    assert_ptr_equal(view, state);
}

static void test_map_out_of_memory_leaves_nothing(void **state)
{
    char *block = shared_block(10);
    void *view = state;
    int before = count_descriptors();
    fail_alloc(1);
    assert_int_equal(conc_shared_map(&view, NULL, conc_shared_fd(block)), -ENOMEM);
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(conc_shared_free(block), 0);
}

static void test_nobody_can_change_a_blocks_size(void **state)
{
    char *block = shared_block(2 * page);
    assert_int_equal(ftruncate(conc_shared_fd(block), 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(conc_shared_fd(block), 1 << 20), -1);
    assert_true(fcntl(conc_shared_fd(block), F_GETFD) & FD_CLOEXEC);
    assert_int_equal(conc_shared_free(block), 0);
}

/* ---- To a process that was there before ---- */

static void receive_and_answer(void *arg)
{
    char byte, space[CMSG_SPACE(sizeof(int))];
    struct iovec one = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &one, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    CHECK_EQUAL(recvmsg(*(int *)arg, &msg, 0), 1);
    int fd;
    void *view;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
    CHECK_EQUAL(conc_shared_map(&view, NULL, fd), 0);
    CHECK_EQUAL(close(fd), 0);
    CHECK(!strcmp(view, "question"));
    strcpy(view, "answer");
}

static void send_fd(int to, int fd)
{
    char byte = 0, space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec one = {&byte, 1};
    struct msghdr msg = {
        .msg_iov = &one, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    assert_int_equal(sendmsg(to, &msg, 0), 1);
}

static void test_a_descriptor_reaches_a_process_forked_before(void **state)
{
    int fds[2];
    make_sockets(SOCK_STREAM, fds);
    pid_t pid = child_start(receive_and_answer, &fds[1]);
    char *block = shared_block(100);
    strcpy(block, "question");
    send_fd(fds[0], conc_shared_fd(block));
    assert_int_equal(child_end(pid), SIGKILL);
    assert_string_equal(block, "answer");
    assert_int_equal(conc_shared_free(block), 0);
    close_both(fds);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, way_setup, way_teardown)

static const struct CMUnitTest tests[] = {
    TEST(test_alloc_gives_zeroed_memory_of_whole_pages),
    TEST(test_alloc_with_a_bad_size_says_einval),
    TEST(test_alloc_out_of_memory_leaves_nothing),
    TEST(test_alloc_out_of_descriptors_says_emfile),
    TEST(test_free_of_what_is_no_block_says_einval),
    TEST(test_what_a_child_writes_the_parent_reads),
    TEST(test_free_in_a_child_leaves_the_parents_block),
    TEST(test_map_gives_another_view_of_the_same),
    TEST(test_map_of_a_foreign_descriptor_says_einval),
    TEST(test_map_out_of_memory_leaves_nothing),
    TEST(test_nobody_can_change_a_blocks_size),
    TEST(test_a_descriptor_reaches_a_process_forked_before),
};

TEST_MAIN(tests, 60)
