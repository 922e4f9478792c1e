/* SPDX-License-Identifier: MIT */
/*
 * A root as a reader sees it. Roots are untyped: the caller says how to look at one, and where that
 * leaves a choice (JSON, XML), what stands in it decides (ml_view_look).
 */
#include "engine/rich.h"

static enum ml_err read_nothing(enum ml_view view, struct ml_writer *out)
{
    if (view == ML_VIEW_DELTA || view == ML_VIEW_JSON)
        ml_write_bytes(out, ML_SLICE("[]"));
    return out->err;
}

static enum ml_err read_branch(const struct ml_doc *doc, uint32_t branch, enum ml_view view,
                               struct ml_writer *out)
{
    struct ml_viewer v = {.doc = doc, .out = out};

    switch (view) {
    case ML_VIEW_TEXT:
        return ml_view_text(&v, branch);
    case ML_VIEW_DELTA:
        return ml_view_delta(&v, branch);
    case ML_VIEW_JSON:
        return ml_view_json(&v, branch);
    case ML_VIEW_XML:
        return ml_view_xml(&v, branch);
    case ML_VIEW_MARKDOWN:
    case ML_VIEW_HTML:
        return ml_view_rich(&v, branch, view);
    }
    return ML_ENOTFOUND;
}

enum ml_err ml_doc_read(const struct ml_doc *doc, struct ml_slice root, enum ml_view view,
                        struct ml_writer *out)
{
    uint32_t name = ml_name_find(doc, root), branch;

    branch = name == NIL ? NIL : doc->names[name].root;
    return branch == NIL ? read_nothing(view, out) : read_branch(doc, branch, view, out);
}

enum ml_err ml_shown_read(const struct ml_doc *doc, const struct ml_shown *at, enum ml_view view,
                          struct ml_writer *out)
{
    return at->branch == NIL ? ML_ENOTFOUND : read_branch(doc, at->branch, view, out);
}
