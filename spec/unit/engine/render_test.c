/* SPDX-License-Identifier: MIT */
/* HTML and Markdown of what editors write, and of what nobody should get to write. */
#include "engine/engine.h"

#include "support/test.h"

#include <stdio.h>

static struct ml_doc *doc;
static struct ml_writer out;
static struct ml_arena arena;

static int begin(void **state)
{
    const struct ml_doc_options options = {.client = 7};

    (void)state;
    doc = ml_doc_new(&options);
    ml_writer_init(&out, 1u << 20);
    ml_arena_init(&arena, 64u << 20);
    return doc ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    ml_doc_free(doc);
    ml_writer_release(&out);
    ml_arena_release(&arena);
    return 0;
}

static void run(const char *ops)
{
    const struct ml_change *change;
    struct ml_diag diag = {0};
    struct ml_writer any;
    enum ml_err err;

    ml_writer_init(&any, 1u << 20);
    assert_int_equal(ml_any_from_json(ml_slice_str(ops), NULL, &any), ML_OK);
    err = ml_doc_run_ops(doc, ml_writer_slice(&any), &arena, &diag, &change);
    if (err)
        fail_msg("%s: %s", ops, diag.text);
    ml_writer_release(&any);
}

static const char *view(enum ml_view as)
{
    ml_writer_reset(&out);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("content"), as, &out), ML_OK);
    ml_write_u8(&out, 0);
    return (const char *)out.ptr;
}

#define HTML     view(ML_VIEW_HTML)
#define MARKDOWN view(ML_VIEW_MARKDOWN)

#define EL(name, attrs, children)                                                                  \
    "{\"$new\":\"xmlelement\",\"name\":\"" name "\",\"attrs\":{" attrs "},\"children\":[" children \
    "]}"
#define TXT(text)  "{\"$new\":\"xmltext\",\"text\":\"" text "\"}"
#define PUT(nodes) "[[\"xml.insert\",\"content\",0,[" nodes "]]]"

/* ---- Quill ----------------------------------------------------------------------------------- */

static void an_empty_root_is_nothing(void **state)
{
    (void)state;
    assert_string_equal(HTML, "");
    assert_string_equal(MARKDOWN, "");
}

static void plain_text_is_paragraphs(void **state)
{
    (void)state;
    run("[[\"text.insert\",\"content\",0,\"one\\n\\ntwo\"]]");
    assert_string_equal(HTML, "<p>one</p>\n<p></p>\n<p>two</p>\n");
    assert_string_equal(MARKDOWN, "one\n\ntwo\n");
}

static void the_line_feed_carries_the_block(void **state)
{
    (void)state;
    run("[[\"text.delta\",\"content\",["
        "{\"insert\":\"Title\"},{\"insert\":\"\\n\",\"attributes\":{\"header\":2}},"
        "{\"insert\":\"milk\"},{\"insert\":\"\\n\",\"attributes\":{\"list\":\"bullet\"}},"
        "{\"insert\":\"whole\"},{\"insert\":\"\\n\",\"attributes\":{\"list\":\"bullet\","
        "\"indent\":1}},"
        "{\"insert\":\"one\"},{\"insert\":\"\\n\",\"attributes\":{\"list\":\"ordered\"}},"
        "{\"insert\":\"done\"},{\"insert\":\"\\n\",\"attributes\":{\"list\":\"checked\"}},"
        "{\"insert\":\"a < b\"},{\"insert\":\"\\n\",\"attributes\":{\"code-block\":\"c\"}},"
        "{\"insert\":\"c\"},{\"insert\":\"\\n\",\"attributes\":{\"code-block\":\"c\"}},"
        "{\"insert\":\"said\"},{\"insert\":\"\\n\",\"attributes\":{\"blockquote\":true}},"
        "{\"insert\":\"so\"},{\"insert\":\"\\n\",\"attributes\":{\"blockquote\":true}}"
        "]]]");
    assert_string_equal(HTML, "<h2>Title</h2>\n"
                              "<ul>\n<li>milk\n<ul>\n<li>whole</li>\n</ul>\n</li>\n</ul>\n"
                              "<ol>\n<li>one</li>\n</ol>\n"
                              "<ul>\n<li><input type=\"checkbox\" disabled checked> done</li>\n"
                              "</ul>\n"
                              "<pre><code class=\"language-c\">a &lt; b\nc</code></pre>\n"
                              "<blockquote>\n<p>said</p>\n<p>so</p>\n</blockquote>\n");
    assert_string_equal(MARKDOWN, "## Title\n\n- milk\n  - whole\n\n1. one\n\n- [x] done\n\n"
                                  "```c\na < b\nc\n```\n\n> said\n>\n> so\n");
}

static void marks_and_links_and_images(void **state)
{
    (void)state;
    run("[[\"text.delta\",\"content\",["
        "{\"insert\":\"a \"},{\"insert\":\"bold \",\"attributes\":{\"bold\":true}},"
        "{\"insert\":\"both\",\"attributes\":{\"bold\":true,\"italic\":true}},"
        "{\"insert\":\" site\",\"attributes\":{\"link\":\"https://example.com/a(b)?c=1&d=2\"}},"
        "{\"insert\":\" x\",\"attributes\":{\"code\":true}},"
        "{\"insert\":{\"image\":\"/pic.png\"}},{\"insert\":\"\\n\"}]]]");
    assert_string_equal(
        HTML, "<p>a <strong>bold </strong><strong><em>both</em></strong>"
              "<a href=\"https://example.com/a(b)?c=1&amp;d=2\" rel=\"noopener noreferrer "
              "nofollow\"> site</a><code> x</code><img src=\"/pic.png\" alt=\"\"></p>\n");
    assert_string_equal(MARKDOWN, "a **bold *both*** [site](https://example.com/a%28b%29?c=1&d=2)"
                                  "` x`![](/pic.png)\n");
}

/* ---- ProseMirror, Tiptap --------------------------------------------------------------------- */

static void blocks_of_prosemirror(void **state)
{
    (void)state;
    run(PUT(EL("heading", "\"level\":1", TXT("Plan")) "," EL("paragraph", "", TXT("Words.")) "," EL(
        "bulletList", "",
        EL("listItem", "", EL("paragraph", "", TXT("one")) "," EL("orderedList", "\"start\":3", EL("listItem", "", EL("paragraph", "", TXT("three"))))) "," EL(
            "listItem", "",
            EL("paragraph", "",
               TXT("two")))) "," EL("taskList", "",
                                    EL("taskItem", "\"checked\":true", EL("paragraph", "", TXT("done"))) "," EL(
                                        "taskItem", "\"checked\":false",
                                        EL("paragraph", "",
                                           TXT("open")))) "," EL("blockquote", "",
                                                                 EL("paragraph", "",
                                                                    TXT("quoted"))) "," EL("codeBlo"
                                                                                           "ck",
                                                                                           "\"langu"
                                                                                           "age\":"
                                                                                           "\"lua"
                                                                                           "\"",
                                                                                           TXT("a()"
                                                                                               "\\n"
                                                                                               "``"
                                                                                               "b`"
                                                                                               "`")) "," EL("horizontalRule",
                                                                                                            "",
                                                                                                            "") "," EL("paragraph",
                                                                                                                       "",
                                                                                                                       TXT("up") "," EL(
                                                                                                                           "hardBreak",
                                                                                                                           "",
                                                                                                                           "") "," TXT("down"))));
    assert_string_equal(
        HTML, "<h1>Plan</h1>\n<p>Words.</p>\n"
              "<ul>\n<li>one\n<ol start=\"3\">\n<li>three</li>\n</ol>\n</li>\n<li>two</li>\n</ul>\n"
              "<ul>\n<li><input type=\"checkbox\" disabled checked> done</li>\n"
              "<li><input type=\"checkbox\" disabled> open</li>\n</ul>\n"
              "<blockquote>\n<p>quoted</p>\n</blockquote>\n"
              "<pre><code class=\"language-lua\">a()\n``b``</code></pre>\n<hr>\n"
              "<p>up<br>down</p>\n");
    assert_string_equal(MARKDOWN, "# Plan\n\nWords.\n\n- one\n  3. three\n- two\n\n<!-- -->\n\n"
                                  "- [x] done\n- [ ] open\n\n> quoted\n\n"
                                  "```lua\na()\n``b``\n```\n\n---\n\nup\\\ndown\n");
}

static void names_of_the_basic_schema_and_of_html_are_known_too(void **state)
{
    (void)state;
    run(PUT(EL("bullet_list", "", EL("list_item", "", EL("p", "", TXT("a")))) "," EL(
        "h3", "", TXT("b")) "," EL("code_block", "",
                                   TXT("c")) "," EL("weird", "", EL("paragraph", "", TXT("d")))));
    assert_string_equal(HTML, "<ul>\n<li>a</li>\n</ul>\n<h3>b</h3>\n<pre><code>c</code></pre>\n"
                              "<p>d</p>\n");
    assert_string_equal(MARKDOWN, "- a\n\n### b\n\n```\nc\n```\n\nd\n");
}

static void a_table(void **state)
{
    (void)state;
    run(PUT(EL("table", "",
               EL("tableRow", "",
                  EL("tableHeader", "", EL("paragraph", "", TXT("a|b"))) "," EL(
                      "tableHeader", "",
                      EL("paragraph", "",
                         TXT("c")))) "," EL("tableRow", "",
                                            EL("tableCell", "",
                                               EL("paragraph", "", TXT("1")) "," EL(
                                                   "paragraph", "", TXT("2"))) "," EL("tableCell",
                                                                                      "", "")))));
    assert_string_equal(HTML, "<table>\n<tr><th><p>a|b</p>\n</th><th><p>c</p>\n</th></tr>\n"
                              "<tr><td><p>1</p>\n<p>2</p>\n</td><td></td></tr>\n</table>\n");
    assert_string_equal(MARKDOWN, "| a\\|b | c |\n| --- | --- |\n| 1<br>2 |  |\n");
}

static void marks_of_tiptap_are_objects_and_may_carry_a_hash(void **state)
{
    (void)state;
    run(PUT(EL("paragraph", "", TXT(""))));
    run("[[\"text.delta\",\"content/0/0\",["
        "{\"insert\":\"b\",\"attributes\":{\"bold\":{}}},"
        "{\"insert\":\"l\",\"attributes\":{\"link\":{\"href\":\"mailto:a@b.c\",\"target\":"
        "\"_blank\"}}},"
        "{\"insert\":\"h\",\"attributes\":{\"highlight--aGVsbG8=\":{\"color\":\"red\"}}}]]]");
    assert_string_equal(HTML, "<p><strong>b</strong><a href=\"mailto:a@b.c\" rel=\"noopener "
                              "noreferrer nofollow\">l</a><mark>h</mark></p>\n");
    assert_string_equal(MARKDOWN, "**b**[l](mailto:a@b.c)<mark>h</mark>\n");
}

/* ---- hostile content ------------------------------------------------------------------------- */

static void text_stays_text(void **state)
{
    (void)state;
    run("[[\"text.insert\",\"content\",0,"
        "\"<script>alert(1)</script> & \\\"quotes\\\" 'single' \\u0000\\u0008 &lt;\"]]");
    assert_string_equal(HTML, "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot; "
                              "&#39;single&#39; \xef\xbf\xbd\xef\xbf\xbd &amp;lt;</p>\n");
    assert_string_equal(MARKDOWN, "\\<script\\>alert(1)\\</script\\> \\& \"quotes\" 'single' "
                                  "\xef\xbf\xbd\xef\xbf\xbd \\&lt;\n");
}

static void markdown_in_text_stays_text(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"# no heading", "\\# no heading\n"},
        {"- no list", "\\- no list\n"},
        {"+ no", "\\+ no\n"},
        {"1. no", "1\\. no\n"},
        {"12) no", "12\\) no\n"},
        {"1.5 yes", "1\\.5 yes\n"},
        {"a # b - c", "a # b - c\n"},
        {"*a* _b_ `c` ~d~", "\\*a\\* \\_b\\_ \\`c\\` \\~d\\~\n"},
        {"[x](javascript:1)", "\\[x\\](javascript:1)\n"},
        {"![x](y)", "!\\[x\\](y)\n"},
        {"    no code", "&#32;   no code\n"},
        {"> no", "\\> no\n"},
        {"===", "\\===\n"},
        {"---", "\\---\n"},
        {"<b>", "\\<b\\>\n"},
        {"back\\slash", "back\\\\slash\n"},
    };
    struct ml_writer json;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ml_writer_init(&json, 4096);
        ml_write_bytes(&json, ML_SLICE("[[\"text.insert\",\"content\",0,\""));
        for (const char *c = cases[i].text; *c; c++) {
            if (*c == '\\' || *c == '"')
                ml_write_u8(&json, '\\');
            ml_write_u8(&json, (uint8_t)*c);
        }
        ml_write_bytes(&json, ml_slice_make("\"]]", 4));
        run((const char *)json.ptr);
        ml_writer_release(&json);
        assert_string_equal(MARKDOWN, cases[i].expected);
        assert_int_equal(end(NULL) || begin(NULL), 0);
    }
}

/* Every address that a browser would run, as link and as image, in both kinds of documents. */
static void no_address_runs_anything(void **state)
{
    static const char *const urls[] = {
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\\tscript:alert(1)",
        "java\\nscript:alert(1)",
        "\\u0001javascript:alert(1)",
        "javascript&colon;alert(1)",
        "javascript&#58;alert(1)",
        "vbscript:x",
        "data:text/html,x",
        "data:image/svg+xml,x",
        "blob:https://x/y",
        "file:///etc/passwd",
        "//evil.example",
        "\\\\\\\\evil.example",
        "https://good.example/\\\" onmouseover=\\\"x y",
        "view-source:x",
        "javascript:",
        ":",
        "feed:javascript:x",
        "x-javascript:1",
        "https://a b",
        "jar:x!/y",
        "about:blank",
        "ws://x",
        "ftp://x",
        "tel:1",
    };
    char ops[1024];

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        (void)snprintf(ops, sizeof ops,
                       "[[\"text.delta\",\"content\",[{\"insert\":\"x\",\"attributes\":{\"link\":"
                       "\"%s\"}},{\"insert\":{\"image\":\"%s\"}}]]]",
                       urls[i], urls[i]);
        run(ops);
        assert_string_equal(HTML, "<p>x</p>\n");
        assert_string_equal(MARKDOWN, "x\n");
        assert_int_equal(end(NULL) || begin(NULL), 0);
        (void)snprintf(ops, sizeof ops, PUT(EL("image", "\"src\":\"%s\",\"alt\":\"y\"", "")),
                       urls[i]);
        run(ops);
        assert_string_equal(HTML, "<img alt=\"y\">");
        assert_int_equal(end(NULL) || begin(NULL), 0);
    }
}

static void attributes_cannot_be_left(void **state)
{
    (void)state;
    run(PUT(EL("image", "\"src\":\"https://x/\\\"onerror=alert(1)\",\"alt\":\"\\\"><b>\"", "") "," EL(
        "codeBlock", "\"language\":\"a\\\" onclick=\\\"x\"",
        TXT("c")) "," EL("heading", "\"level\":\"9><script>\"",
                         TXT("h")) "," EL("orderedList", "\"start\":\"1><script>\"",
                                          EL("listItem", "",
                                             TXT("i"))) "," EL("script", "\"src\":\"x\"",
                                                               TXT("alert(1)")) "," EL("iframe",
                                                                                       "\"src\":"
                                                                                       "\"https://"
                                                                                       "x\"",
                                                                                       "") "," EL("paragraph",
                                                                                                  "\"onclick\":\"x\",\"style\":\"y\"",
                                                                                                  TXT("p"))));
    assert_string_equal(HTML,
                        "<img src=\"https://x/&quot;onerror=alert(1)\" alt=\"&quot;&gt;&lt;b&gt;\">"
                        "<pre><code>c</code></pre>\n<h1>h</h1>\n<ol>\n<li>i</li>\n</ol>\n"
                        "alert(1)<p>p</p>\n");
}

static void depth_is_bounded(void **state)
{
    char path[512] = "content", ops[1024];
    size_t quotes = 0;
    const char *html;

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(ops, sizeof ops,
                       "[[\"xml.insert\",\"%s\",0,[" EL("blockquote", "", "") "]]]", path);
        run(ops);
        (void)snprintf(path + strlen(path), sizeof path - strlen(path), "/0");
    }
    (void)snprintf(ops, sizeof ops, "[[\"xml.insert\",\"%s\",0,[" TXT("deep") "]]]", path);
    run(ops);
    html = HTML;
    for (const char *at = strstr(html, "<blockquote>"); at; at = strstr(at + 1, "<blockquote>"))
        quotes++;
    assert_in_range(quotes, 60, 64);
    assert_non_null(strstr(html, "deep"));
    assert_non_null(strstr(MARKDOWN, "deep"));
}

static void an_answer_over_its_ceiling_is_refused(void **state)
{
    struct ml_writer small;

    (void)state;
    run("[[\"text.insert\",\"content\",0,\"some words that do not fit into so little\"]]");
    ml_writer_init(&small, 20);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("content"), ML_VIEW_HTML, &small), ML_ELIMIT);
    ml_writer_release(&small);
    ml_writer_init(&small, 20);
    assert_int_equal(ml_doc_read(doc, ML_SLICE("content"), ML_VIEW_MARKDOWN, &small), ML_ELIMIT);
    ml_writer_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(an_empty_root_is_nothing),
        TEST(plain_text_is_paragraphs),
        TEST(the_line_feed_carries_the_block),
        TEST(marks_and_links_and_images),
        TEST(blocks_of_prosemirror),
        TEST(names_of_the_basic_schema_and_of_html_are_known_too),
        TEST(a_table),
        TEST(marks_of_tiptap_are_objects_and_may_carry_a_hash),
        TEST(text_stays_text),
        TEST(markdown_in_text_stays_text),
        TEST(no_address_runs_anything),
        TEST(attributes_cannot_be_left),
        TEST(depth_is_bounded),
        TEST(an_answer_over_its_ceiling_is_refused),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
