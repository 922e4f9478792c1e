-- plugins/hello/init.lua: a method per hook, `self.config` for settings, nil for "no opinion".
local ml = require "moonloom"
local Hello = {}

-- Asked when somebody opens a document. No opinion: others grant and deny.
function Hello:authorize(ask)
  if ask.action == "doc.open" and ask.identity.user ~= "" then
    ml.log.info(self.config.greeting .. ", " .. ask.identity.name, { doc = ask.doc_id })
  end
end

-- Asked for every edit of 1 KiB and more (plugin.lua says so): nil lets it pass, ml.deny takes it back.
function Hello:before_update(u)
  if u.inserted_bytes > self.config.max_paste then
    return ml.deny("too_long", "That is a lot of text at once. Please paste it in parts.")
  end
end

return Hello
