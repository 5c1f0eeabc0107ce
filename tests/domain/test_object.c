/* SPDX-License-Identifier: MIT
 *
 * Named objects: what they hold, who may have a name, what is left alone, lists. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "domain/common.h"

/* ---- what they hold ---- */

static void fill(void *context, void *body, size_t size) {
    memset(body, *(const char *)context, size);
}

static void test_body(void **state) {
    (void)state;
    char letter = 'x';
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_wish wish = thing;
    struct domain_object *object, *seen;
    wish.fill = fill;
    wish.context = &letter;
    wish.size = 5000;
    wish.optional = 6;
    check(domain_object_create(&place, &wish, &object));
    assert_true(object->owner && domain_object_is_alive(object));
    assert_int_equal(object->size, 5000);
    check(try_open(folder, "a", &seen));
    assert_false(seen->owner);
    assert_int_equal(seen->size, 5000);
    assert_int_equal(((char *)seen->body)[4999], 'x');
    assert_int_equal(seen->facts.pid, getpid());
    assert_int_equal(seen->facts.optional, 6);
    assert_memory_equal(seen->facts.incarnation, object->facts.incarnation, 16);
    ((char *)object->body)[17] = 'y';
    assert_int_equal(((char *)seen->body)[17], 'y');
    assert_true(domain_object_is_alive(seen));
    struct stat status;
    assert_int_equal(fstat(object->fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, 5256);
    assert_true((uint64_t)status.st_blocks * 512 >= 5256); /* room for all of it */
    domain_object_release(object, true);
    assert_false(domain_object_is_alive(seen));
    assert_int_equal(((char *)seen->body)[17], 'y'); /* it stays mapped */
    domain_object_release(seen, true);
    domain_object_release(NULL, true);
    assert_int_equal(count_files(folder), 0);
    close(folder);
}

/* Descriptors and mappings, of what works and of what does not. */
static void test_nothing_leaks(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object, *seen;
    size_t descriptors = harness_count_descriptors(), mappings = 0;
    for (size_t i = 0; i < 200; i++) {
        object = create(folder, "a");
        check(try_open(folder, "a", &seen));
        assert_int_equal(domain_object_create(&place, &thing, &seen), -EADDRINUSE);
        assert_int_equal(domain_object_destroy(&place), -EBUSY);
        domain_object_release(object, true);
        domain_object_release(seen, true);
        assert_int_equal(try_open(folder, "a", &seen), -ENOENT);
        if (i == 0)
            mappings = harness_count_mappings();
    }
    assert_int_equal(harness_count_descriptors(), descriptors);
    assert_true(harness_count_mappings() < mappings + 50);
    close(folder);
}

static void test_incarnations(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_object *first = create(folder, "a");
    struct header_facts facts = first->facts;
    domain_object_release(first, true);
    struct domain_object *second = create(folder, "a");
    assert_memory_not_equal(second->facts.incarnation, facts.incarnation, 16);
    domain_object_release(second, true);
    close(folder);
}

static void test_mode(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_wish wish = thing;
    struct domain_object *object;
    struct stat status;
    mode_t mask = umask(0777);
    wish.mode = 0640;
    check(domain_object_create(&place, &wish, &object));
    umask(mask);
    assert_int_equal(fstat(object->fd, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    domain_object_release(object, true);
    close(folder);
}

/* ---- who may have a name ---- */

static void test_living(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object = create(folder, "a"), *second = NULL;
    expect_error(domain_object_create(&place, &thing, &second), -EADDRINUSE, "test://a");
    char pid[32];
    snprintf(pid, sizeof pid, "process %d", getpid());
    expect_error(domain_object_create(&place, &thing, &second), -EADDRINUSE, pid);
    assert_null(second);
    assert_int_equal(domain_sweep(folder, 100), 0);
    assert_true(exists(folder, "a"));
    domain_object_release(object, true);
    close(folder);
}

static void test_missing(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_object *object = NULL;
    expect_error(try_open(folder, "a", &object), -ENOENT, "test://a");
    assert_null(object);
    close(folder);
}

static void test_forked_child_only_closes(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_object *object = create(folder, "a"), *seen;
    int socket = bind_socket(folder, "a");
    domain_object_release(create(folder, "b"), false);
    assert_true(exists(folder, "b")); /* given up, but not removed */
    assert_int_equal(domain_sweep(folder, 100), 1);
    assert_false(exists(folder, "b"));
    check(try_open(folder, "a", &seen));
    domain_object_release(seen, true);
    assert_true(exists(folder, "a") && exists(folder, "a.socket"));
    domain_object_release(object, true);
    assert_int_equal(count_files(folder), 0);
    close(socket);
    close(folder);
}

static void test_removed_by_force(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_object *first = create(folder, "a");
    assert_int_equal(unlinkat(folder, "a", 0), 0);
    struct domain_object *second = create(folder, "a");
    domain_object_release(first, true);
    assert_true(exists(folder, "a")); /* it is not the first one's any more */
    domain_object_release(second, true);
    assert_false(exists(folder, "a"));
    close(folder);
}

/* ---- objects that stay ---- */

static void test_stays(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object, *seen;
    check(domain_object_create(&place, &lasting, &object));
    domain_object_release(object, true);
    assert_int_equal(domain_sweep(folder, 100), 0);
    expect_error(domain_object_create(&place, &lasting, &object), -EEXIST, "stays");
    check(try_open(folder, "a", &seen));
    assert_true(domain_object_is_alive(seen));
    check(domain_object_destroy(&place));
    assert_false(domain_object_is_alive(seen));
    domain_object_release(seen, true);
    expect_error(domain_object_destroy(&place), -ENOENT, "test://a");
    assert_int_equal(count_files(folder), 0);
    close(folder);
}

static void test_destroy_of_living(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object = create(folder, "a");
    expect_error(domain_object_destroy(&place), -EBUSY, "process");
    assert_true(exists(folder, "a"));
    domain_object_release(object, true);
    close(folder);
}

/* Marked, but its name was not removed: whoever comes next does it. */
static void test_half_destroyed(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object, *seen;
    for (int way = 0; way < 4; way++) {
        check(domain_object_create(&place, &lasting, &object));
        header_end(object->memory);
        domain_object_release(object, true);
        assert_true(exists(folder, "a"));
        switch (way) {
        case 0:
            expect_error(try_open(folder, "a", &seen), -ENOENT, "destroyed");
            break;
        case 1:
            assert_int_equal(domain_sweep(folder, 100), 1);
            break;
        case 2:
            expect_error(domain_object_destroy(&place), -ENOENT, "destroyed");
            break;
        case 3:
            check(domain_object_create(&place, &lasting, &object));
            domain_object_release(object, true);
            check(domain_object_destroy(&place));
            break;
        }
        assert_int_equal(count_files(folder), 0);
    }
    close(folder);
}

/* ---- what is left alone ---- */

static void check_left_alone(int folder, const char *leaf) {
    struct domain_place place = place_at(folder, leaf);
    struct domain_object *object = NULL;
    expect_error(domain_object_create(&place, &thing, &object), -EEXIST, "left alone");
    expect_error(try_open(folder, leaf, &object), -EEXIST, "left alone");
    expect_error(domain_object_destroy(&place), -EEXIST, "left alone");
    assert_null(object);
    assert_int_equal(domain_sweep(folder, 100), 0);
    assert_true(exists(folder, leaf));
    assert_int_equal(unlinkat(folder, leaf, 0), 0);
}

static void test_foreign(void **state) {
    (void)state;
    char page[4096];
    int folder = open_folder(NULL);
    put_file(folder, "a", "", 0);
    check_left_alone(folder, "a");
    put_file(folder, "a", "chappe\x1a", 7);
    check_left_alone(folder, "a");
    memset(page, 'x', sizeof page);
    put_file(folder, "a", page, sizeof page);
    check_left_alone(folder, "a");
    memset(page, 0, sizeof page);
    put_file(folder, "a", page, sizeof page);
    check_left_alone(folder, "a");
    assert_int_equal(mkfifoat(folder, "a", 0600), 0);
    check_left_alone(folder, "a");
    assert_int_equal(symlinkat("b", folder, "a"), 0);
    check_left_alone(folder, "a");
    int socket = bind_socket(folder, "");
    assert_int_equal(renameat(folder, ".socket", folder, "a"), 0);
    check_left_alone(folder, "a");
    close(socket);
    close(folder);
}

/* A link to a living object is not the object. */
static void test_symlink(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_object *object = create(folder, "b"), *seen;
    assert_int_equal(symlinkat("b", folder, "a"), 0);
    expect_error(try_open(folder, "a", &seen), -EEXIST, "left alone");
    domain_object_release(object, true);
    assert_true(exists(folder, "a"));
    close(folder);
}

static void test_file_in_the_sockets_place(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    put_file(folder, "a.socket", "mine", 4);
    domain_object_release(create(folder, "a"), true);
    domain_object_release(create(folder, "a"), false);
    assert_int_equal(domain_sweep(folder, 100), 1);
    assert_true(exists(folder, "a.socket"));
    close(folder);
}

/* Every single bit of the checked part, in an object whose owner is gone. */
static void test_damaged(void **state) {
    (void)state;
    uint8_t image[HEADER_SIZE];
    int folder = open_folder(NULL);
    struct domain_object *object = create(folder, "a");
    assert_int_equal(pread(object->fd, image, sizeof image, 0), sizeof image);
    domain_object_release(object, true);
    for (size_t bit = 0; bit < 144 * 8; bit++) {
        struct domain_object *seen = NULL;
        image[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_file(folder, "a", image, sizeof image);
        int outcome = try_open(folder, "a", &seen);
        /* Of the layout's 16 bits each makes another version, dead here. */
        bool layout = bit / 8 == 8 || bit / 8 == 9;
        assert_int_equal(outcome, layout ? -ECONNREFUSED : -EEXIST);
        image[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(unlinkat(folder, "a", 0), 0);
    }
    close(folder);
}

/* ---- versions ---- */

static void set_layout(int folder, const char *leaf, uint16_t layout, uint32_t flags) {
    int fd = openat(folder, leaf, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &layout, 2, 8), 2);
    assert_int_equal(pwrite(fd, &flags, 4, 12), 4);
    close(fd);
}

static void test_layouts(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_object *object = create(folder, "a"), *other = NULL;
    set_layout(folder, "a", 7, 0);
    expect_error(try_open(folder, "a", &other), -EPROTO, "version 7");
    expect_error(try_open(folder, "a", &other), -EPROTO, "version 1");
    expect_error(domain_object_create(&place, &thing, &other), -EADDRINUSE, "version 7");
    assert_int_equal(domain_sweep(folder, 100), 0);
    set_layout(folder, "a", 7, HEADER_STAYS);
    expect_error(domain_object_destroy(&place), -EPROTO, "version 7");
    domain_object_release(object, false);
    assert_int_equal(domain_sweep(folder, 100), 0); /* it stays, whatever it is */
    set_layout(folder, "a", 7, 0);
    check(domain_object_create(&place, &thing, &object)); /* that of a dead one is replaced */
    domain_object_release(object, true);
    close(folder);
}

static void test_kinds_and_features(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "a");
    struct domain_wish wish = thing;
    struct domain_object *object, *seen = NULL;
    wish.required = 5;
    check(domain_object_create(&place, &wish, &object));
    expect_error(domain_object_open(&place, "thing", 3, 4, &seen), -EPROTO, "0x1");
    expect_error(domain_object_open(&place, "thing", 4, 5, &seen), -EPROTO, "version 3");
    expect_error(domain_object_open(&place, "thing", 4, 5, &seen), -EPROTO, "version 4");
    expect_error(domain_object_open(&place, "other", 3, 5, &seen), -EEXIST, "kind thing");
    assert_null(seen);
    check(domain_object_open(&place, "thing", 3, 7, &seen));
    domain_object_release(seen, true);
    domain_object_release(object, true);
    close(folder);
}

static void test_cut_short(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_object *object = create(folder, "a"), *seen = NULL;
    assert_int_equal(ftruncate(object->fd, 300), 0);
    expect_error(try_open(folder, "a", &seen), -EBADMSG, "300 of the 356 bytes");
    assert_null(seen);
    domain_object_release(object, true);
    close(folder);
}

/* ---- names ---- */

static void check_leaf(const char *name, size_t size, const char *leaf) {
    char made[DOMAIN_LEAF_SIZE];
    check(domain_leaf("shm", name, size, "shm://x", made));
    assert_string_equal(made, leaf);
}

static void test_leaves(void **state) {
    (void)state;
    char made[DOMAIN_LEAF_SIZE] = "as it was", name[256];
    check_leaf("plant", 5, "shm.plant");
    check_leaf("a/b\0c", 5, "shm.a%2Fb%00c");
    check_leaf("..", 2, "shm...");
    check_leaf("100%", 4, "shm.100%25");
    check_leaf("org.example", 11, "shm.org.example");
    check_leaf("a.socket", 8, "shm.a%2Esocket");
    check_leaf("a.socket.b", 10, "shm.a.socket.b");
    check_leaf("\xc3\xa9 ~\n", 5, "shm.%C3%A9%20%7E%0A");
    memset(name, 'n', sizeof name);
    check(domain_leaf("shm", name, DOMAIN_LEAF_MOST - 4, "shm://x", made));
    assert_int_equal(strlen(made), DOMAIN_LEAF_MOST);
    snprintf(made, sizeof made, "as it was");
    expect_error(domain_leaf("shm", name, DOMAIN_LEAF_MOST - 3, "shm://x", made), -ENAMETOOLONG,
                 "244");
    name[3] = '/';
    expect_error(domain_leaf("shm", name, DOMAIN_LEAF_MOST - 5, "shm://x", made), -ENAMETOOLONG,
                 "shm://x");
    expect_error(domain_leaf("shm", "", 0, "shm://x", made), -EINVAL, "empty");
    assert_string_equal(made, "as it was");
}

static void test_longest_leaf(void **state) {
    (void)state;
    char leaf[DOMAIN_LEAF_SIZE];
    int folder = open_folder(NULL);
    memset(leaf, 'n', sizeof leaf);
    leaf[DOMAIN_LEAF_MOST] = '\0';
    domain_object_release(create(folder, leaf), true);
    leaf[DOMAIN_LEAF_MOST] = 'n';
    leaf[DOMAIN_LEAF_MOST + 1] = '\0';
    struct domain_place place = place_at(folder, leaf);
    struct domain_object *object = NULL;
    expect_error(domain_object_create(&place, &thing, &object), -ENAMETOOLONG, "248");
    assert_int_equal(count_files(folder), 0);
    close(folder);
}

/* ---- lists and sweeps ---- */

struct seen {
    size_t count[DOMAIN_CLOSED + 1];
    char names[512];
    int answer;
};

static int see(void *context, const struct domain_entry *entry) {
    struct seen *seen = context;
    size_t used = strlen(seen->names);
    seen->count[entry->state]++;
    snprintf(seen->names + used, sizeof seen->names - used, "[%s:%s:%zu]", entry->kind, entry->name,
             entry->name_size);
    return seen->answer;
}

static void test_list(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    struct domain_place place = place_at(folder, "thing.lasts");
    struct domain_object *lasts;
    struct domain_object *lives = create(folder, "thing.a%00%2F");
    int socket = bind_socket(folder, "thing.a%00%2F");
    domain_object_release(create(folder, "thing.dead"), false);
    check(domain_object_create(&place, &lasting, &lasts));
    domain_object_release(lasts, true);
    put_file(folder, "stranger", "x", 1);
    put_file(folder, "lonely.socket", "x", 1);
    put_file(folder, ".chappe-0123456789abcdef", "", 0);
    struct seen seen = {.answer = 0};
    assert_int_equal(domain_list(folder, see, &seen), 0);
    assert_int_equal(seen.count[DOMAIN_ALIVE], 1);
    assert_int_equal(seen.count[DOMAIN_DEAD], 1);
    assert_int_equal(seen.count[DOMAIN_STAYS], 1);
    assert_int_equal(seen.count[DOMAIN_FOREIGN], 2);
    assert_non_null(strstr(seen.names, "[thing:a:3]")); /* with a NUL byte in it */
    assert_non_null(strstr(seen.names, "[thing:lasts:5]"));
    assert_non_null(strstr(seen.names, "[:lonely.socket:13]"));
    seen = (struct seen){.answer = 42};
    assert_int_equal(domain_list(folder, see, &seen), 42);
    assert_int_equal(strcspn(seen.names, "]"), strlen(seen.names) - 1); /* one */
    assert_int_equal(domain_sweep(folder, 100), 2);
    assert_int_equal(domain_sweep(folder, 100), 0);
    assert_int_equal(count_files(folder), 5);
    domain_object_release(lives, true);
    close(socket);
    close(folder);
}

/* Little work a call, and yet all goes in the end. */
static void test_sweep_is_bounded(void **state) {
    (void)state;
    int folder = open_folder(NULL);
    char leaf[32];
    size_t left = 300, calls = 0;
    for (size_t i = 0; i < left; i++) {
        snprintf(leaf, sizeof leaf, "thing.%zu", i);
        domain_object_release(create(folder, leaf), false);
    }
    while (left > 0) {
        size_t removed = domain_sweep(folder, 20);
        assert_true(removed <= 20);
        left -= removed;
        if (++calls > 10000)
            fail_msg("%zu are left after %zu calls", left, calls);
    }
    assert_int_equal(count_files(folder), 0);
    close(folder);
}

static const struct harness_test tests[] = {
    {.name = "an object holds what its maker filled in, for all", .function = test_body},
    {.name = "descriptors and mappings are given back", .function = test_nothing_leaks},
    {.name = "each incarnation has a number of its own", .function = test_incarnations},
    {.name = "the umask does not change an object's mode", .function = test_mode},
    {.name = "a living one's name is refused, naming the process", .function = test_living},
    {.name = "a missing name is -ENOENT", .function = test_missing},
    {.name = "a forked child only closes", .function = test_forked_child_only_closes},
    {.name = "what was removed by force is not removed twice", .function = test_removed_by_force},
    {.name = "an object that stays goes when it is destroyed", .function = test_stays},
    {.name = "a living owner's object is not destroyed", .function = test_destroy_of_living},
    {.name = "a half-destroyed object is finished by the next", .function = test_half_destroyed},
    {.name = "foreign files are left alone", .function = test_foreign},
    {.name = "links are not followed", .function = test_symlink},
    {.name = "a file in the socket's place is left alone",
     .function = test_file_in_the_sockets_place},
    {.name = "a header with a flipped bit is no object", .function = test_damaged},
    {.name = "objects of another layout are named with both versions", .function = test_layouts},
    {.name = "another kind, version or feature is refused", .function = test_kinds_and_features},
    {.name = "a file that was cut short is refused", .function = test_cut_short},
    {.name = "names become file names", .function = test_leaves},
    {.name = "the longest file name", .function = test_longest_leaf},
    {.name = "a list names all and what they are", .function = test_list},
    {.name = "a sweep does little at a time", .function = test_sweep_is_bounded},
};

int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, COUNT(tests));
}
