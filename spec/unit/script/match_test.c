/* SPDX-License-Identifier: MIT */
/* Our matcher and the interpreter's own agree: fixed cases, then random patterns on random text. */
#include "world.h"

#include <string.h>

#include <lua.h>

#include <lauxlib.h>
#include <lualib.h>

#include "script/state.h"

/*
 * Runs in a state where `string` is the interpreter's library and `ours` is what plugins get.
 * Answers the number of comparisons, or raises with the first difference.
 */
static const char compare[] =
    "local ours, seed = ...\n"
    "local function show(ok, ...)\n"
    "  if not ok then return 'error' end\n"
    "  local out = {}\n"
    "  for i = 1, select('#', ...) do out[i] = type((select(i, ...))) .. ':' .. "
    "tostring((select(i, ...))) end\n"
    "  return table.concat(out, '|')\n"
    "end\n"
    "local count, good = 0, 0\n"
    "local function is_malformed(_, why)\n"
    "  for _, word in ipairs { 'malformed', 'unfinished', 'invalid pattern', 'invalid capture', "
    "'missing' } do\n"
    "    if string.find(why, word, 1, true) then return true end\n"
    "  end\n"
    "end\n"
    "local function same(name, ...)\n"
    "  local a, b = show(pcall(string[name], ...)), show(pcall(ours[name], ...))\n"
    "  count = count + 1\n"
    "  if b ~= 'error' then good = good + 1 end\n"
    /* Ours reads the whole pattern first, theirs only as far as the subject takes it. */
    "  if a ~= b and not (b == 'error' and is_malformed(pcall(ours[name], ...))) then\n"
    "    local args = {} for i = 1, select('#', ...) do args[i] = "
    "('%q'):format(tostring((select(i, ...)))) end\n"
    "    error(name .. '(' .. table.concat(args, ', ') .. '): theirs ' .. a .. ', ours ' .. b)\n"
    "  end\n"
    "end\n"
    "local function all(lib, s, p)\n"
    "  local out = {}\n"
    "  for a, b in lib.gmatch(s, p) do out[#out + 1] = tostring(a) .. ';' .. tostring(b) end\n"
    "  return table.concat(out, ',')\n"
    "end\n"
    "local function both(s, p)\n"
    "  same('find', s, p) same('find', s, p, 3) same('find', s, p, -2) same('find', s, p, 1, "
    "true)\n"
    "  same('match', s, p) same('match', s, p, 2)\n"
    "  same('gsub', s, p, '<%0>') same('gsub', s, p, '%1') same('gsub', s, p, '', 2)\n"
    "  same('gsub', s, p, { a = 'A', b = false }) same('gsub', s, p, function(x) if x == 'a' then "
    "return 1 end end)\n"
    "  local a, b = show(pcall(all, string, s, p)), show(pcall(all, ours, s, p))\n"
    "  if a ~= b and b ~= 'error' then error(('gmatch(%q, %q): theirs %s, ours %s'):format(s, p, "
    "a, b)) end\n"
    "end\n"
    "for _, case in ipairs {\n"
    "  { 'hello world', 'o w' }, { 'hello world', '(%a+) (%a+)' }, { 'key = value', "
    "'^(%w+)%s*=%s*(%w+)$' },\n"
    "  { 'f(a(b)c)d', '%b()' }, { 'THE (quick) fox', '%f[%a]%a+%f[%A]' }, { 'abcabc', '(abc)%1' }, "
    "{ '  trim  ', '^%s*(.-)%s*$' },\n"
    "  { 'a.b.c', '[^.]*' }, { 'x^y', '[%^x]' }, { ']', '[]]' }, { 'a-b', '[a%-]' }, { '', '' }, { "
    "'', '.*' }, { 'abc', '()b()' },\n"
    "  { 'a\\0b', '%z' }, { 'a\\0b', 'a%zb' }, { 'a$', '%$' }, { 'a$', 'a$$' }, { 'aXb', '%u' }, { "
    "'\\200', '[\\128-\\255]' } } do\n"
    "  both(case[1], case[2])\n"
    "end\n"
    "local bits = { 'a', 'b', 'c', '.', '%a', '%d', '%S', '%w', '[ab]', '[^a]', '[a-c1]', '[%d_]', "
    "'*', '+', '-', '?', '(', ')', '()',\n"
    "               '^', '$', '%1', '%2', '%b()', '%f[%a]', '%.', ' ', '1', ']', '[]', '%' }\n"
    "local letters = { 'a', 'b', 'c', '1', '2', ' ', '(', ')', '.', 'A', '_' }\n"
    "math.randomseed(seed)\n"
    "for i = 1, 6000 do\n"
    "  local p, s = {}, {}\n"
    "  for j = 1, math.random(0, 7) do p[j] = bits[math.random(#bits)] end\n"
    "  for j = 1, math.random(0, 12) do s[j] = letters[math.random(#letters)] end\n"
    "  both(table.concat(s), table.concat(p))\n"
    "end\n"
    /* Plain text, on both sides of the length from which another way is taken. */
    "for i = 1, 2000 do\n"
    "  local p, s = {}, {}\n"
    "  for j = 1, math.random(0, 5) do p[j] = ('ab'):sub(math.random(2)):sub(1, 1) end\n"
    "  for j = 1, math.random(0, 9) + (i % 2) * 249 do s[j] = i % 4 < 2 and 'a' or p[j % 7] or 'b' "
    "end\n"
    "  same('find', table.concat(s), table.concat(p), math.random(-9, #s + 2), true)\n"
    "end\n"
    "return count, good\n";

struct run {
    const char *seed;
};

static void run_compare(lua_State *L, void *arg)
{
    const struct run *run = arg;
    int count, good;

    if (luaL_loadbuffer(L, compare, sizeof(compare) - 1, "=compare"))
        lua_error(L);
    lua_newtable(L);
    for (const luaL_Reg *f = ml_match_functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    lua_pushnumber(L, atof(run->seed));
    lua_call(L, 2, 2);
    count = (int)lua_tointeger(L, -2);
    good = (int)lua_tointeger(L, -1);
    print_message("%d comparisons, %d of them without an error\n", count, good);
    if (good * 4 < count)
        luaL_error(L, "too few patterns are well-formed for this to mean anything");
}

static void random_patterns_agree(void **state)
{
    struct world w;
    struct run run = {getenv("SEED") ? getenv("SEED") : "1"};

    (void)state;
    world_init(&w);
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    if (ml_script_protect(w.script, 0, run_compare, &run, 600000000)) {
        fprintf(stderr, "seed %s: %s\n", run.seed, w.script->fault.text);
        fail();
    }
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_patterns_agree)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
