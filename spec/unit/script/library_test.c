/* SPDX-License-Identifier: MIT */
/*
 * The `moonloom` module as a plugin meets it: each file of library/ is the init.lua of a plugin
 * whose setup checks one part and raises what is wrong.
 *
 *   unit_script_library NAME    runs library/NAME.lua
 */
#include "world.h"

#include <string.h>

static const char *name;

static char *read_file(const char *file)
{
    char path[512];
    char *text = malloc(1 << 20);
    FILE *f;
    size_t len;

    assert_non_null(text);
    snprintf(path, sizeof(path), "%s/%s.lua", SPEC_DIR, file);
    f = fopen(path, "rb");
    assert_non_null(f);
    len = fread(text, 1, (1 << 20) - 1, f);
    text[len] = '\0';
    assert_int_equal(fclose(f), 0);
    return text;
}

static void it_holds(void **state)
{
    struct world w;
    char *init = read_file(name), *check = read_file("check");

    (void)state;
    world_init(&w);
    world_plugin(&w, "p", "hooks = { before_update = {} }", init);
    world_write(&w, "p/lib/check.lua", check);
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    EXPECT(&w, strstr(w.log, "checks n=") != NULL);
    print_message("%s: %s", name, strstr(w.log, "checks n="));
    world_release(&w);
    free(init);
    free(check);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_holds)};

    if (argc != 2)
        return 2;
    name = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
