return { new = function() error("t.app is not available in this version", 3) end }
