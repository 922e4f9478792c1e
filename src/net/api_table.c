/* SPDX-License-Identifier: MIT */
/*
 * Every route of the API, once: what is dispatched, checked and described (openapi.json) is the
 * same row. A new route is a new row and a handler.
 */
#include "net/api.h"
#include "net/api_plugins.h"
#include "net/auth_login.h"
#include "net/auth_oidc.h"
#include "net/plugin_routes.h"

#include <inttypes.h>
#include <stdio.h>

#define DOCS "/api/v1/orgs/{org}/docs"
#define DOC  DOCS "/{doc}"

#define VERSION DOC "/versions/{version}"

#define READ    ML_MAY_READ
#define EDIT    (ML_MAY_READ | ML_MAY_WRITE) /* every edit is looked at by itself */
#define WRITE   (EDIT | ML_MAY_EVERYWHERE)
#define HISTORY (ML_MAY_READ | ML_MAY_HISTORY)

#define REF(name)  "{\"$ref\":\"#/components/schemas/" name "\"}"
#define WHOLE      "{\"type\":\"integer\",\"minimum\":1,\"maximum\":9007199254740991}"
#define TEXT       "{\"type\":\"string\"}"
#define PAGE_LIMIT "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}"
#define JSON       "application/json"
#define BYTES      "application/octet-stream"

#define LIST_OF(item)                                                                              \
    "{\"type\":\"object\",\"required\":[\"items\",\"next\"],\"properties\":{\"items\":{"           \
    "\"type\":\"array\",\"items\":" item                                                           \
    "},\"next\":{\"type\":[\"string\",\"null\"],\"description\":\"cursor of the next "             \
    "page\"}}}"

#define AT_SEQ                                                                                     \
    {                                                                                              \
        "seq", WHOLE, "the document as it was after this record"                                   \
    }
#define AT_TIME                                                                                    \
    {                                                                                              \
        "at", WHOLE, "the document as it was then, milliseconds since 1970 UTC"                    \
    }
#define IF_MATCH                                                                                   \
    {                                                                                              \
        "If-Match", "{\"type\":\"string\",\"pattern\":\"^\\\"[0-9]+\\\"$\"}",                      \
            "write only if the document is at this seq"                                            \
    }
#define WRITTEN                                                                                    \
    {                                                                                              \
        200, JSON,                                                                                 \
            "{\"type\":\"object\",\"required\":[\"seq\"],\"properties\":{\"seq\":{"                \
            "\"type\":\"integer\"}}}",                                                             \
            "durable; the number of its record"                                                    \
    }
#define STALE                                                                                      \
    {                                                                                              \
        412, JSON, REF("Error"), "the document is not at the seq of If-Match"                      \
    }
#define ABSENT                                                                                     \
    {                                                                                              \
        404, JSON, REF("Error"), "no such document, or it was deleted"                             \
    }
#define GONE                                                                                       \
    {                                                                                              \
        410, JSON, REF("Error"), "that moment is not kept any more"                                \
    }

const struct ml_api_route ml_api_routes[] = {
    {
        .method = ML_METHOD_GET,
        .path = "/api/v1/openapi.json",
        .id = "describe",
        .summary = "This description",
        .answers = {{200, JSON, "{\"type\":\"object\"}", "OpenAPI 3.1"}},
        .run = ml_api_openapi,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOCS,
        .id = "listDocuments",
        .summary = "Documents of an org by name",
        .action = "org.documents",
        .may = READ,
        .parameters = {{"prefix", TEXT, "only names that begin with this"},
                       {"after", TEXT, "only names behind this one: the cursor"},
                       {"limit", PAGE_LIMIT, "how many at most"}},
        .answers = {{200, JSON, LIST_OF(REF("Listed")), "one page"}},
        .run = ml_api_list,
    },
    {
        .method = ML_METHOD_POST,
        .path = DOCS,
        .id = "createDocument",
        .summary = "Make a document, once",
        .body_max = ML_API_BODY_MAX,
        .body_type = JSON,
        .body_schema = REF("Creation"),
        .answers = {{201, JSON, REF("Created"), "made; Location tells its address"},
                    {409, JSON, REF("Error"), "there is one, or it was deleted"}},
        .run = ml_api_create,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC,
        .id = "getDocument",
        .summary = "What is known about a document",
        .action = "doc.open",
        .may = READ,
        .answers = {{200, JSON, REF("Metadata"), "its numbers"}, ABSENT},
        .run = ml_api_metadata,
    },
    {
        .method = ML_METHOD_DELETE,
        .path = DOC,
        .id = "deleteDocument",
        .is_for_members = true,
        .summary = "Lay a tombstone: stale clients cannot bring it back",
        .action = "doc.delete",
        .may = WRITE,
        .answers = {{204, NULL, NULL, "deleted; everybody was sent away"}, ABSENT},
        .run = ml_api_delete,
    },
    {
        .method = ML_METHOD_POST,
        .path = DOC "/undelete",
        .id = "undeleteDocument",
        .is_for_members = true,
        .summary = "Lift the tombstone",
        .action = "doc.delete",
        .may = WRITE,
        .body_max = 4096,
        .is_body_optional = true,
        .answers = {{204, NULL, NULL, "it is there, as it was"}, ABSENT},
        .run = ml_api_undelete,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/state",
        .id = "getState",
        .summary = "The document as one Yjs update, or what a state vector lacks",
        .action = "doc.open",
        .may = READ,
        .parameters = {{"sv", TEXT, "state vector in base64url"},
                       {"format", "{\"enum\":[\"v1\",\"v2\"],\"default\":\"v1\"}", "of the update"},
                       AT_SEQ,
                       AT_TIME},
        .answers = {{200, BYTES, NULL, "a Yjs update; ETag is the seq"}, ABSENT},
        .run = ml_api_state,
    },
    {
        .method = ML_METHOD_POST,
        .path = DOC "/updates",
        .id = "postUpdate",
        .summary = "Write one Yjs update",
        .action = "doc.open",
        .may = EDIT,
        .body_max = ML_API_IMPORT_MAX,
        .body_type = BYTES,
        .parameters = {{"format", "{\"enum\":[\"v1\",\"v2\"],\"default\":\"v1\"}", "of the body"},
                       IF_MATCH},
        .answers = {WRITTEN, ABSENT, STALE},
        .run = ml_api_update,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/content",
        .id = "getContent",
        .summary = "One root of the document in a readable form",
        .action = "doc.open",
        .may = READ,
        .parameters = {{"root", "{\"type\":\"string\",\"default\":\"content\"}", "its name"},
                       {"as",
                        "{\"enum\":[\"text\",\"delta\",\"json\",\"xml\",\"markdown\",\"html\"],"
                        "\"default\":\"text\"}",
                        "the form"},
                       AT_SEQ,
                       AT_TIME},
        .answers = {{200, "*/*", NULL, "as its Content-Type says; ETag is the seq"}, ABSENT},
        .run = ml_api_content,
    },
    {
        .method = ML_METHOD_POST,
        .path = DOC "/ops",
        .id = "postOps",
        .summary = "Write by operations, all or none",
        .action = "doc.open",
        .may = EDIT,
        .body_max = ML_API_BODY_MAX,
        .body_type = JSON,
        .body_schema = REF("Operations"),
        .parameters = {IF_MATCH},
        .answers = {WRITTEN, ABSENT, STALE},
        .run = ml_api_ops,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/history",
        .id = "getHistory",
        .summary = "Who wrote when, the newest first",
        .action = "doc.history",
        .may = HISTORY,
        .parameters = {{"before", WHOLE, "only records before this seq: the cursor"},
                       {"limit", PAGE_LIMIT, "how many at most"}},
        .answers = {{200, JSON, LIST_OF(REF("Record")), "one page"}, ABSENT},
        .run = ml_api_history,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/changes",
        .id = "getChanges",
        .summary = "What became of a text between two moments, as a delta",
        .action = "doc.history",
        .may = HISTORY,
        .parameters = {{"from", WHOLE, "the older moment, a seq"},
                       {"to", WHOLE, "the newer moment, a seq; the present if it is left out"},
                       {"root", "{\"type\":\"string\",\"default\":\"content\"}", "its name"}},
        .answers = {{200, JSON, "{\"type\":\"array\"}",
                     "what is gone has the attribute ychange {type: removed}, what is new {type: "
                     "added}"},
                    ABSENT,
                    GONE},
        .run = ml_api_changes,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/versions",
        .id = "listVersions",
        .summary = "Versions, the newest first",
        .action = "doc.history",
        .may = HISTORY,
        .parameters = {{"before", WHOLE, "only versions before this number: the cursor"},
                       {"limit", PAGE_LIMIT, "how many at most"}},
        .answers = {{200, JSON, LIST_OF(REF("Version")), "one page"}, ABSENT},
        .run = ml_api_versions,
    },
    {
        .method = ML_METHOD_POST,
        .path = DOC "/versions",
        .id = "createVersion",
        .summary = "Name the document as it is, or as it was after a record",
        .action = "doc.history",
        .may = HISTORY | WRITE,
        .body_max = ML_API_BODY_MAX,
        .body_type = JSON,
        .body_schema = REF("Naming"),
        .answers = {{201, JSON, REF("Version"), "kept until it is deleted"}, ABSENT, GONE},
        .run = ml_api_make_version,
    },
    {
        .method = ML_METHOD_GET,
        .path = VERSION,
        .id = "getVersion",
        .summary = "What is known about a version",
        .action = "doc.history",
        .may = HISTORY,
        .answers = {{200, JSON, REF("Version"), "its numbers"}, ABSENT},
        .run = ml_api_version,
    },
    {
        .method = ML_METHOD_POST,
        .path = VERSION,
        .id = "pinVersion",
        .is_for_members = true,
        .summary = "Keep a version whatever retention says, or let it go again",
        .action = "doc.history",
        .may = HISTORY | WRITE,
        .body_max = 4096,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\",\"required\":[\"pinned\"],\"properties\":{"
                       "\"pinned\":{\"type\":\"boolean\"}}}",
        .answers = {{204, NULL, NULL, "it is so"}, ABSENT},
        .run = ml_api_pin_version,
    },
    {
        .method = ML_METHOD_DELETE,
        .path = VERSION,
        .id = "deleteVersion",
        .is_for_members = true,
        .summary = "Remove a version; the document and its history stay",
        .action = "doc.history",
        .may = HISTORY | WRITE,
        .answers = {{204, NULL, NULL, "removed"},
                    ABSENT,
                    {409, JSON, REF("Error"), "it is pinned, published, or the store needs it"}},
        .run = ml_api_delete_version,
    },
    {
        .method = ML_METHOD_GET,
        .path = VERSION "/state",
        .id = "getVersionState",
        .summary = "A version as one Yjs update",
        .action = "doc.history",
        .may = HISTORY,
        .parameters = {{"sv", TEXT, "state vector in base64url"},
                       {"format", "{\"enum\":[\"v1\",\"v2\"],\"default\":\"v1\"}",
                        "of the update"}},
        .answers = {{200, BYTES, NULL, "a Yjs update; ETag is the seq"}, ABSENT},
        .run = ml_api_state,
    },
    {
        .method = ML_METHOD_GET,
        .path = VERSION "/content",
        .id = "getVersionContent",
        .summary = "One root of a version in a readable form",
        .action = "doc.history",
        .may = HISTORY,
        .parameters = {{"root", "{\"type\":\"string\",\"default\":\"content\"}", "its name"},
                       {"as",
                        "{\"enum\":[\"text\",\"delta\",\"json\",\"xml\",\"markdown\",\"html\"],"
                        "\"default\":\"text\"}",
                        "the form"}},
        .answers = {{200, "*/*", NULL, "as its Content-Type says; ETag is the seq"}, ABSENT},
        .run = ml_api_content,
    },
    {
        .method = ML_METHOD_POST,
        .path = DOC "/restore",
        .id = "restoreDocument",
        .summary = "Make the document as it was, as a new edit",
        .action = "doc.restore",
        .may = WRITE,
        .body_max = ML_API_BODY_MAX,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\",\"properties\":{\"seq\":{\"type\":\"integer\"},"
                       "\"version\":{\"type\":[\"string\",\"integer\"],\"description\":\"name or "
                       "number\"}}}",
        .parameters = {IF_MATCH},
        .answers = {{200, JSON,
                     "{\"type\":\"object\",\"required\":[\"seq\",\"restored_seq\",\"before\"],"
                     "\"properties\":{\"seq\":{\"type\":\"integer\"},\"restored_seq\":{\"type\":"
                     "\"integer\"},\"before\":{\"type\":\"integer\",\"description\":\"the version "
                     "that holds what was there before\"}}}",
                     "durable; the number of its record"},
                    ABSENT,
                    GONE,
                    STALE},
        .run = ml_api_restore,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/publish",
        .id = "getPublished",
        .summary = "What of the document is public",
        .action = "doc.open",
        .may = READ,
        .answers = {{200, JSON, REF("Published"), "the version that its public address leads to"},
                    ABSENT},
        .run = ml_api_published,
    },
    {
        .method = ML_METHOD_POST,
        .path = DOC "/publish",
        .id = "publishDocument",
        .is_for_members = true,
        .summary = "Make a version public: the document as it is now, or one that there is",
        .action = "doc.export",
        .may = WRITE,
        .body_max = ML_API_BODY_MAX,
        .body_type = JSON,
        .body_schema = REF("Publishing"),
        .answers = {{200, JSON, REF("Published"), "anybody may read it from now on"}, ABSENT},
        .run = ml_api_publish,
    },
    {
        .method = ML_METHOD_DELETE,
        .path = DOC "/publish",
        .id = "hideDocument",
        .is_for_members = true,
        .summary = "Make everything of the document private again",
        .action = "doc.export",
        .may = WRITE,
        .answers = {{204, NULL, NULL, "hidden; caches are told"}, ABSENT},
        .run = ml_api_unpublish,
    },
    {
        .method = ML_METHOD_POST,
        .path = DOC "/purge",
        .id = "purgeDocument",
        .is_for_members = true,
        .summary = "Let caches forget what they have of the document",
        .action = "doc.export",
        .may = WRITE,
        .body_max = 4096,
        .is_body_optional = true,
        .answers = {{202, NULL, NULL, "it will be, until every cache has said so"}},
        .run = ml_api_purge,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/sessions",
        .id = "listSessions",
        .summary = "Who has the document open",
        .action = "doc.open",
        .may = READ,
        .answers = {{200, JSON, LIST_OF(REF("Session")), "everybody who is here"}},
        .run = ml_api_sessions,
    },
    {
        .method = ML_METHOD_DELETE,
        .path = DOC "/sessions/{id}",
        .id = "removeSession",
        .is_for_members = true,
        .summary = "Send somebody away",
        .action = "doc.open",
        .may = WRITE,
        .answers = {{204, NULL, NULL, "the connection is closed"},
                    {202, NULL, NULL, "it is not on this node; if it is on another, it will be"},
                    {404, JSON, REF("Error"), "no such session here"}},
        .run = ml_api_remove_session,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/api/v1/orgs/{org}/rpc/{id}",
        .id = "callPlugin",
        .summary = "Call a function of a plugin by its name",
        .body_max = ML_API_BODY_MAX,
        .is_body_optional = true,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\"}",
        .parameters = {{"doc", TEXT, "the document that it is about"}},
        .answers = {{200, JSON, "{}", "what the function answers"},
                    {400, JSON, REF("Error"), "arguments that do not fit"},
                    {403, JSON, REF("Error"), "not for this visitor, or an edit that was refused"},
                    {404, JSON, REF("Error"), "no function of that name, or no such document"},
                    {422, JSON, REF("Error"), "the function says that it cannot be"}},
        .run = ml_api_rpc,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/api/v1/orgs/{org}/audit",
        .id = "listAudit",
        .summary = "The security log, the oldest event first; for owners and admins",
        .action = "org.audit",
        .may = READ,
        .parameters = {{"after", TEXT, "only events behind this one: the cursor"},
                       {"limit", PAGE_LIMIT, "how many at most"}},
        .answers = {{200, JSON, LIST_OF("{\"type\":\"object\"}"), "one page"}},
        .run = ml_api_audit,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/api/v1/orgs/{org}/audit/verify",
        .id = "verifyAudit",
        .summary = "Is the security log whole: no event missing, none changed?",
        .action = "org.audit",
        .may = READ,
        .answers = {{200, JSON,
                     "{\"type\":\"object\",\"required\":[\"whole\",\"first\",\"last\",\"why\"]}",
                     "what was found"}},
        .run = ml_api_audit_verify,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/api/v1/orgs/{org}/tokens",
        .id = "mintToken",
        .summary = "Mint a token for one user and a pattern of documents; for who has a key",
        .is_keyed = true,
        .body_max = 16384,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\",\"required\":[\"user\"],\"properties\":{\"user\":" TEXT
                       ",\"name\":" TEXT ",\"roles\":{\"type\":\"array\",\"items\":" TEXT
                       ",\"description\":\"those of the key, if they are left out\"},\"doc\":{"
                       "\"type\":\"string\",\"description\":\"pattern of names: * within a "
                       "segment, ** across\"},\"ttl\":{\"type\":\"integer\",\"minimum\":1,"
                       "\"maximum\":900,\"default\":900}}}",
        .answers = {{201, JSON,
                     "{\"type\":\"object\",\"required\":[\"token\",\"expires\"],\"properties\":{"
                     "\"token\":" TEXT ",\"expires\":{\"type\":\"integer\"}}}",
                     "signed with the server's own key"},
                    {401, JSON, REF("Error"), "no key of this org"},
                    {403, JSON, REF("Error"), "roles that the key has not"},
                    {422, JSON, REF("Error"), "the body does not fit"},
                    {503, JSON, REF("Error"), "the server has no signing keys"}},
        .run = ml_api_mint,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/shares",
        .id = "listShares",
        .summary = "Who the document is shared with; for its owners",
        .action = "doc.share",
        .may = READ,
        .answers = {{200, JSON,
                     "{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\","
                     "\"items\":" REF("Share") "}}}",
                     "all of them"},
                    {403, JSON, REF("Error"), "not an owner"}},
        .run = ml_api_shares,
    },
    {
        .method = ML_METHOD_PUT,
        .path = DOC "/shares/{id}",
        .id = "putShare",
        .summary = "Share the document with a user, or make a link; or change that",
        .action = "doc.share",
        .may = READ,
        .body_max = 8192,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\",\"required\":[\"kind\",\"role\"],"
                       "\"additionalProperties\":false,\"properties\":{\"kind\":{\"enum\":["
                       "\"user\",\"link\"]},\"user\":" TEXT ",\"role\":" TEXT
                       ",\"expires\":{\"type\":\"integer\"}}}",
        .answers = {{200, JSON, REF("Share"), "the share; of a new link also its token, this once"},
                    {403, JSON, REF("Error"), "not an owner, or more than one has"},
                    {409, JSON, REF("Error"), "the last owner stays; or two at once"},
                    {422, JSON, REF("Error"), "the body does not fit, or there is no such user"}},
        .run = ml_api_put_share,
    },
    {
        .method = ML_METHOD_DELETE,
        .path = DOC "/shares/{id}",
        .id = "deleteShare",
        .summary = "Take a share back; who has the document open by it loses it",
        .action = "doc.share",
        .may = READ,
        .answers = {{204, NULL, NULL, "taken back"},
                    {403, JSON, REF("Error"), "not an owner"},
                    {404, JSON, REF("Error"), "no such share"},
                    {409, JSON, REF("Error"), "the last owner stays"}},
        .run = ml_api_delete_share,
    },
    {
        .method = ML_METHOD_GET,
        .path = DOC "/why",
        .id = "why",
        .summary = "Why somebody may do what they may with this document",
        .action = "doc.open",
        .may = READ,
        .parameters = {{"user", TEXT, "about this user, for owners; oneself if it is missing"}},
        .answers = {{200, JSON,
                     "{\"type\":\"object\",\"properties\":{\"role\":" TEXT
                     ",\"from\":{\"enum\":[\"org\",\"share\",\"link\",\"policy\","
                     "\"open\",\"none\"]},\"detail\":" TEXT
                     ",\"proposals\":{\"type\":\"boolean\"}}}",
                     "the reason, and whether a plugin makes proposals of what suggesters write"},
                    {403, JSON, REF("Error"), "not an owner"}},
        .run = ml_api_why,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/api/v1/orgs/{org}/invites",
        .id = "listInvites",
        .summary = "Invitations that nobody has accepted yet; for owners of the org",
        .action = "org.invite",
        .may = READ,
        .answers = {{200, JSON, "{\"type\":\"object\"}", "items: id, role, by, at, expires"},
                    {403, JSON, REF("Error"), "not an owner"}},
        .run = ml_api_invites,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/api/v1/orgs/{org}/invites",
        .id = "invite",
        .summary = "Make an invitation into the org, good once",
        .action = "org.invite",
        .may = READ,
        .body_max = 4096,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\",\"required\":[\"role\"],\"additionalProperties\":"
                       "false,\"properties\":{\"role\":" TEXT ",\"expires\":{\"type\":"
                       "\"integer\"}}}",
        .answers = {{201, JSON,
                     "{\"type\":\"object\",\"properties\":{\"id\":" TEXT ",\"token\":" TEXT
                     ",\"expires\":{\"type\":\"integer\"}}}",
                     "its token, this once"},
                    {403, JSON, REF("Error"), "not an owner, or more than one has"},
                    {422, JSON, REF("Error"), "the body does not fit"}},
        .run = ml_api_invite,
    },
    {
        .method = ML_METHOD_DELETE,
        .path = "/api/v1/orgs/{org}/invites/{id}",
        .id = "deleteInvite",
        .summary = "Take an invitation back",
        .action = "org.invite",
        .may = READ,
        .answers = {{204, NULL, NULL, "taken back"},
                    {403, JSON, REF("Error"), "not an owner"},
                    {404, JSON, REF("Error"), "no such invitation, or it was accepted"}},
        .run = ml_api_delete_invite,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/invite",
        .id = "acceptInvite",
        .summary = "Join an org: with a new account, or with the session that one has",
        .is_keyed = true,
        .body_max = 16384,
        .body_type = JSON,
        .body_schema =
            "{\"type\":\"object\",\"required\":[\"token\"],\"properties\":{\"token\":" TEXT
            ",\"user\":" TEXT ",\"name\":" TEXT ",\"password\":" TEXT "}}",
        .answers = {{200, JSON, "{\"type\":\"object\"}", "who it is, and until when"},
                    {401, JSON, REF("Error"), "over, used, taken back; or nobody is signed in"},
                    {409, JSON, REF("Error"), "there is an account of this name"},
                    {422, JSON, REF("Error"), "the name or the password will not do"}},
        .run = ml_auth_invite,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/ticket",
        .id = "ticket",
        .summary = "A token for one socket of one document, used once, within 60 s",
        .is_keyed = true,
        .body_max = 8192,
        .body_type = JSON,
        .body_schema =
            "{\"type\":\"object\",\"required\":[\"org\",\"doc\"],\"properties\":{\"org\":" TEXT
            ",\"doc\":" TEXT "}}",
        .answers = {{200, JSON,
                     "{\"type\":\"object\",\"properties\":{\"ticket\":" TEXT
                     ",\"expires\":{\"type\":\"integer\"}}}",
                     "?token= of /sync/ORG/NAME"},
                    {401, JSON, REF("Error"), "the session is over"},
                    {404, JSON, REF("Error"), "no such document for whoever asks"}},
        .run = ml_auth_ticket,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/guest",
        .id = "guest",
        .summary = "Come in by the link of a document",
        .is_keyed = true,
        .body_max = 16384,
        .body_type = JSON,
        .body_schema =
            "{\"type\":\"object\",\"required\":[\"token\"],\"properties\":{\"token\":" TEXT
            ",\"name\":" TEXT "}}",
        .answers = {{200, JSON, "{\"type\":\"object\"}", "who it is, until when, and org and doc"},
                    {401, JSON, REF("Error"), "over, or taken back"},
                    {409, JSON, REF("Error"), "somebody is signed in, and stays"}},
        .run = ml_auth_guest,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/login",
        .id = "login",
        .summary = "Sign in with a password; the cookies are the session",
        .is_keyed = true,
        .body_max = 8192,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\",\"required\":[\"user\",\"password\"],\"properties\":{"
                       "\"user\":" TEXT ",\"password\":" TEXT ",\"org\":" TEXT "}}",
        .answers = {{200, JSON, "{\"type\":\"object\"}", "who it is, and until when"},
                    {401, JSON, REF("Error"), "user and password do not fit"},
                    {429, JSON, REF("Error"), "too many tries; Retry-After says when again"}},
        .run = ml_auth_login,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/refresh",
        .id = "refresh",
        .summary = "New cookies for those that are nearly over",
        .is_keyed = true,
        .body_max = 4096,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\"}",
        .answers = {{200, JSON, "{\"type\":\"object\"}", "who it is, and until when"},
                    {401, JSON, REF("Error"), "over, or used by two: sign in"},
                    {403, JSON, REF("Error"), "not from a page of this server"}},
        .run = ml_auth_refresh,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/logout",
        .id = "logout",
        .summary = "End this session",
        .is_keyed = true,
        .body_max = 4096,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\"}",
        .answers = {{204, NULL, NULL, "signed out"},
                    {403, JSON, REF("Error"), "not from a page of this server"}},
        .run = ml_auth_logout,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/logout-everywhere",
        .id = "logoutEverywhere",
        .summary = "End every session of this user, and what they have open",
        .is_keyed = true,
        .body_max = 4096,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\"}",
        .answers = {{204, NULL, NULL, "signed out everywhere"},
                    {401, JSON, REF("Error"), "nobody is signed in"},
                    {403, JSON, REF("Error"), "not from a page of this server"}},
        .run = ml_auth_logout_everywhere,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/password",
        .id = "changePassword",
        .summary = "A new password; every other session of this user ends",
        .is_keyed = true,
        .body_max = 8192,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\",\"required\":[\"old\",\"new\"],"
                       "\"properties\":{\"old\":" TEXT ",\"new\":" TEXT "}}",
        .answers = {{204, NULL, NULL, "changed"},
                    {401, JSON, REF("Error"), "nobody is signed in, or the old one is not right"},
                    {422, JSON, REF("Error"), "under 8 bytes"},
                    {429, JSON, REF("Error"), "too many tries; Retry-After says when again"}},
        .run = ml_auth_password,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/auth/jwks",
        .id = "publicKeys",
        .summary = "The public halves of the server's signing keys",
        .is_keyed = true,
        .answers = {{200, JSON, "{\"type\":\"object\"}", "a JWK set"},
                    {404, JSON, REF("Error"), "the server has no keys"}},
        .run = ml_auth_jwks,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/auth/oidc/{id}",
        .id = "signInElsewhere",
        .summary = "Sign in at a provider of identities: a browser is sent there",
        .is_keyed = true,
        .parameters = {{"return", TEXT, "path of this server to come back to"}},
        .answers = {{302, NULL, NULL, "to the provider"},
                    {400, JSON, REF("Error"), "no path of this server"},
                    {404, JSON, REF("Error"), "no such provider"},
                    {503, JSON, REF("Error"), "the provider does not answer"}},
        .run = ml_auth_oidc,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/auth/oidc/{id}/callback",
        .id = "signedInElsewhere",
        .summary = "Where the provider sends the browser back to",
        .is_keyed = true,
        .parameters = {{"code", TEXT, "of the provider"},
                       {"state", TEXT, "what it was given"},
                       {"iss", TEXT, "who it is"},
                       {"error", TEXT, "it says no"}},
        .answers = {{303, NULL, NULL, "signed in, with cookies"},
                    {401, JSON, REF("Error"), "it did not work"},
                    {404, JSON, REF("Error"), "no such provider"},
                    {503, JSON, REF("Error"), "the provider does not answer"}},
        .run = ml_auth_oidc_callback,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/auth/setup",
        .id = "setup",
        .summary = "The first account, with the link that the server printed",
        .is_keyed = true,
        .is_local = true,
        .body_max = 8192,
        .body_type = JSON,
        .body_schema = "{\"type\":\"object\",\"required\":[\"token\",\"user\",\"password\"],"
                       "\"properties\":{\"token\":" TEXT ",\"user\":" TEXT ",\"name\":" TEXT
                       ",\"password\":" TEXT "}}",
        .answers = {{200, JSON, "{\"type\":\"object\"}", "who it is, and until when"},
                    {401, JSON, REF("Error"), "not the link, or there is an account"},
                    {409, JSON, REF("Error"), "somebody is at it, or was cut off a moment ago"},
                    {422, JSON, REF("Error"), "the name or the password will not do"}},
        .run = ml_auth_setup,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/api/v1/plugins",
        .id = "listPlugins",
        .summary = "Which plugins run, and how they do; from the server's own machine",
        .is_local = true,
        .parameters = {{"org", TEXT, "only the instances of this org"},
                       {"doc", TEXT, "only those that are on for this document"}},
        .answers = {{200, JSON, "{\"type\":\"object\"}", "deployment and instances"},
                    {409, JSON, REF("Error"), "another such call is under way"}},
        .run = ml_api_plugins_list,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/api/v1/plugins/trace",
        .id = "tracePlugins",
        .summary = "What hooks were asked lately: slow, failed and denied calls; from the server's "
                   "own machine",
        .is_local = true,
        .parameters = {{"org", TEXT, "only of this org"},
                       {"doc", TEXT, "only of this document"},
                       {"hook", TEXT, "only of this hook"},
                       {"plugin", TEXT, "only of this plugin or instance"},
                       {"verdict", TEXT, "only deny, error, timeout, memory, slow or ok"},
                       {"after", TEXT, "until_us of the answer before"},
                       {"all", TEXT, "1: for the next 10 s every call is noted"}},
        .answers = {{200, JSON, "{\"type\":\"object\"}", "items and until_us"},
                    {409, JSON, REF("Error"), "another such call is under way"}},
        .run = ml_api_plugins_trace,
    },
    {
        .method = ML_METHOD_GET,
        .path = "/api/v1/plugins/why",
        .id = "whyPlugins",
        .summary = "Who grants, restricts or denies what somebody wants to do; from the server's "
                   "own machine",
        .is_local = true,
        .parameters = {{"org", TEXT, "whose document it is"},
                       {"doc", TEXT, "the document"},
                       {"user", TEXT, "who; nobody if it is missing"},
                       {"role", TEXT, "their roles, with commas between them"},
                       {"action", TEXT, "doc.open if it is missing"}},
        .answers = {{200, JSON, "{\"type\":\"object\"}", "outcome and answers"},
                    {400, JSON, REF("Error"), "org or doc is missing"},
                    {409, JSON, REF("Error"), "another such call is under way"}},
        .run = ml_api_plugins_why,
    },
    {
        .method = ML_METHOD_POST,
        .path = "/api/v1/plugins/reload",
        .id = "reloadPlugins",
        .summary = "Run what is on disk now; from the server's own machine",
        .is_local = true,
        .parameters = {{"dry_run", TEXT, "1: check only"},
                       {"shadow", TEXT, "1: what is new runs beside and decides nothing"},
                       {"rollback", TEXT, "1: the deployment before"},
                       {"force", TEXT, "1: without what cannot be handed over"}},
        .answers = {{200, JSON, "{\"type\":\"object\"}", "it runs everywhere"},
                    {422, JSON, "{\"type\":\"object\"}", "refused; what ran before runs on"},
                    {409, JSON, REF("Error"), "another such call is under way"}},
        .run = ml_api_plugins_reload,
    },
};
const size_t ml_api_route_count = sizeof ml_api_routes / sizeof *ml_api_routes;

/* ---- openapi.json ---------------------------------------------------------------------------- */

#define INTEGER "{\"type\":\"integer\"}"
#define USER    "{\"type\":[\"string\",\"null\"],\"description\":\"null: the server\"}"

static const char components[] =
    "\"components\":{\"schemas\":{"
    "\"Error\":{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{"
    "\"type\":\"object\",\"required\":[\"code\",\"message\",\"incident\"],\"properties\":{"
    "\"code\":" TEXT ",\"message\":" TEXT ",\"incident\":" TEXT "}}}},"
    "\"Listed\":{\"type\":\"object\",\"required\":[\"name\",\"seq\",\"bytes\",\"created_at_ms\","
    "\"updated_at_ms\"],\"properties\":{\"name\":" TEXT ",\"seq\":" INTEGER ",\"bytes\":" INTEGER
    ",\"created_at_ms\":" INTEGER ",\"updated_at_ms\":" INTEGER "}},"
    "\"Creation\":{\"type\":\"object\",\"required\":[\"name\"],\"additionalProperties\":false,"
    "\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":512},"
    "\"content\":{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"properties\":{"
    "\"ops\":{\"type\":\"array\"}},\"required\":[\"ops\"]},{\"type\":\"object\",\"properties\":{"
    "\"update\":{\"type\":\"string\",\"description\":\"a Yjs update in base64url\"}},"
    "\"required\":[\"update\"]}]},\"root\":{\"type\":\"string\",\"default\":\"content\","
    "\"description\":\"the text that content goes to\"},\"template\":{\"type\":\"string\","
    "\"description\":\"a document that this one begins as\"}}},"
    "\"Created\":{\"type\":\"object\",\"required\":[\"name\",\"seq\",\"epoch\"],\"properties\":{"
    "\"name\":" TEXT ",\"seq\":" INTEGER ",\"epoch\":" INTEGER "}},"
    "\"Metadata\":{\"type\":\"object\",\"required\":[\"name\",\"seq\",\"epoch\"],\"properties\":{"
    "\"name\":" TEXT ",\"seq\":" INTEGER ",\"epoch\":" INTEGER ",\"snapshot_seq\":" INTEGER
    ",\"record_bytes\":" INTEGER ",\"snapshot_bytes\":" INTEGER ",\"created_at_ms\":" INTEGER
    ",\"updated_at_ms\":" INTEGER ",\"authors\":{\"type\":\"array\",\"items\":{"
    "\"type\":\"object\",\"properties\":{\"user\":" USER ",\"records\":" INTEGER
    ",\"last_at_ms\":" INTEGER "}}},\"authors_since_seq\":" INTEGER "}},"
    "\"Record\":{\"type\":\"object\",\"required\":[\"seq\",\"at_ms\",\"user\",\"bytes\"],"
    "\"properties\":{\"seq\":" INTEGER ",\"at_ms\":" INTEGER ",\"user\":" USER
    ",\"session\":{\"type\":[\"string\",\"null\"]},\"bytes\":" INTEGER "}},"
    "\"Version\":{\"type\":\"object\",\"required\":[\"version\",\"name\",\"seq\",\"at_ms\","
    "\"user\","
    "\"labels\",\"named\",\"pinned\"],\"properties\":{\"version\":" INTEGER ",\"name\":" TEXT
    ",\"seq\":" INTEGER ",\"at_ms\":" INTEGER ",\"user\":" USER
    ",\"labels\":{\"type\":\"object\",\"additionalProperties\":" TEXT
    "},\"named\":{\"type\":\"boolean\",\"description\":\"made by somebody, not by the "
    "cadence\"},\"pinned\":{\"type\":\"boolean\"},\"published\":{\"type\":\"boolean\"},"
    "\"bytes\":" INTEGER "}},"
    "\"Published\":{\"type\":\"object\",\"required\":[\"url\",\"version\",\"hash\",\"files\"],"
    "\"properties\":{\"url\":" TEXT ",\"version\":" INTEGER ",\"name\":" TEXT ",\"seq\":" INTEGER
    ",\"hash\":" TEXT ",\"root\":" TEXT ",\"files\":{\"type\":\"object\","
    "\"additionalProperties\":" TEXT "}}},"
    "\"Publishing\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"version\":{\"type\":[\"string\",\"integer\"]},\"root\":{\"type\":\"string\",\"default\":"
    "\"content\"}}},"
    "\"Naming\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"name\":{"
    "\"type\":\"string\",\"minLength\":1,\"maxLength\":200},\"seq\":" INTEGER
    ",\"labels\":{\"type\":\"object\",\"additionalProperties\":" TEXT
    "},\"pinned\":{\"type\":\"boolean\"}}},"
    "\"Share\":{\"type\":\"object\",\"required\":[\"id\",\"kind\",\"role\",\"by\",\"at\"],"
    "\"properties\":{\"id\":" TEXT ",\"kind\":{\"enum\":[\"user\",\"link\"]},\"user\":" TEXT
    ",\"name\":" TEXT ",\"role\":" TEXT ",\"expires\":" INTEGER ",\"by\":" TEXT ",\"at\":" INTEGER
    ",\"token\":" TEXT "}},"
    "\"Session\":{\"type\":\"object\",\"required\":[\"id\",\"user\",\"name\",\"write\"],"
    "\"properties\":{\"id\":" TEXT ",\"user\":" TEXT ",\"name\":" TEXT
    ",\"write\":{\"type\":\"boolean\"}}},"
    "\"Operations\":{\"type\":\"object\",\"required\":[\"ops\"],\"additionalProperties\":false,"
    "\"properties\":{\"ops\":{\"type\":\"array\",\"items\":{\"type\":\"array\","
    "\"description\":\"name of the operation, path of the type, arguments\"}}}}"
    "}}";

static const struct {
    const char *part, *name, *schema, *summary;
} path_parts[] = {
    {"{org}", "org", "{\"type\":\"string\",\"pattern\":\"^[a-z0-9][a-z0-9-]{0,62}$\"}", "the org"},
    {"{doc}", "doc", "{\"type\":\"string\",\"minLength\":1,\"maxLength\":512}",
     "name of the document; a slash in it is %2F"},
    {"{id}", "id", TEXT, "id of the session, share or invitation"},
    {"{version}", "version", TEXT, "name or number of the version"},
};

static void write_text(struct ml_writer *out, const char *text)
{
    ml_write_bytes(out, ml_slice_str(text));
}

static void write_string(struct ml_writer *out, const char *text)
{
    ml_json_write_text(out, ml_slice_str(text));
}

static void write_parameter(struct ml_writer *out, bool *any, const char *name, const char *in,
                            bool required, const char *schema, const char *summary)
{
    ml_http_print(out, "%s{\"name\":", *any ? "," : ",\"parameters\":[");
    *any = true;
    write_string(out, name);
    ml_http_print(out, ",\"in\":\"%s\"%s,\"description\":", in,
                  required ? ",\"required\":true" : "");
    write_string(out, summary);
    write_text(out, ",\"schema\":");
    write_text(out, schema);
    write_text(out, "}");
}

static void write_parameters(struct ml_writer *out, const struct ml_api_route *route)
{
    bool any = false;

    for (size_t i = 0; i < sizeof path_parts / sizeof *path_parts; i++)
        if (strstr(route->path, path_parts[i].part))
            write_parameter(out, &any, path_parts[i].name, "path", true, path_parts[i].schema,
                            path_parts[i].summary);
    for (size_t i = 0; i < ML_API_PARAMETERS && route->parameters[i].name; i++) {
        const struct ml_api_parameter *p = &route->parameters[i];

        write_parameter(out, &any, p->name, strcmp(p->name, "If-Match") == 0 ? "header" : "query",
                        false, p->schema, p->summary);
    }
    if (any)
        write_text(out, "]");
}

static void write_body(struct ml_writer *out, const struct ml_api_route *route)
{
    if (!route->body_type)
        return;
    write_text(out, ",\"requestBody\":{\"required\":true,\"content\":{");
    write_string(out, route->body_type);
    write_text(out, ":{");
    if (route->body_schema) {
        write_text(out, "\"schema\":");
        write_text(out, route->body_schema);
    }
    write_text(out, "}}}");
}

static void write_answers(struct ml_writer *out, const struct ml_api_route *route)
{
    write_text(out, ",\"responses\":{");
    for (size_t i = 0; i < ML_API_ANSWERS && route->answers[i].status; i++) {
        const struct ml_api_answer *answer = &route->answers[i];

        ml_http_print(out, "\"%u\":{\"description\":", answer->status);
        write_string(out, answer->summary);
        if (answer->type) {
            write_text(out, ",\"content\":{");
            write_string(out, answer->type);
            write_text(out, ":{");
            if (answer->schema) {
                write_text(out, "\"schema\":");
                write_text(out, answer->schema);
            }
            write_text(out, "}}");
        }
        write_text(out, "},");
    }
    write_text(out, "\"default\":{\"description\":\"what is wrong\",\"content\":{"
                    "\"" JSON "\":{\"schema\":" REF("Error") "}}}}");
}

static void write_operation(struct ml_writer *out, const struct ml_api_route *route)
{
    static const char *const names[] = {[ML_METHOD_GET] = "get",
                                        [ML_METHOD_POST] = "post",
                                        [ML_METHOD_PUT] = "put",
                                        [ML_METHOD_DELETE] = "delete"};

    write_string(out, names[route->method]);
    write_text(out, ":{\"operationId\":");
    write_string(out, route->id);
    write_text(out, ",\"summary\":");
    write_string(out, route->summary);
    write_parameters(out, route);
    write_body(out, route);
    write_answers(out, route);
    write_text(out, "}");
}

/* Rows of one path become one object, at the first of them. */
static bool is_first_of_path(size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(ml_api_routes[i].path, ml_api_routes[index].path) == 0)
            return false;
    return true;
}

void ml_api_describe(struct ml_writer *out)
{
    write_text(out, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Moonloom\",\"version\":\"1\","
                    "\"description\":\"Documents of a Moonloom server. Every write is durable "
                    "before it is answered.\"},\"paths\":{");
    for (size_t i = 0; i < ml_api_route_count; i++) {
        bool any = false;

        if (!is_first_of_path(i))
            continue;
        if (i)
            write_text(out, ",");
        write_string(out, ml_api_routes[i].path);
        write_text(out, ":{");
        for (size_t k = i; k < ml_api_route_count; k++) {
            if (strcmp(ml_api_routes[k].path, ml_api_routes[i].path) != 0)
                continue;
            if (any)
                write_text(out, ",");
            write_operation(out, &ml_api_routes[k]);
            any = true;
        }
        write_text(out, "}");
    }
    write_text(out, "},");
    write_text(out, components);
    write_text(out, "}\n");
}
