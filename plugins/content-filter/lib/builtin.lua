-- Patterns that come with the plugin.
local checks = require "content-filter.lib.checks"

return {
  card = { regex = [[\b\d(?:[ -]?\d){12,18}\b]], check = checks.luhn },
  iban = { regex = [[\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b]], check = checks.iban },
  email = { regex = [[[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}]] },
  phone = { regex = [[\+\d(?:[ ()/-]{0,2}\d){7,14}\b]] },
  ssn = { regex = [[\b\d{3}-\d{2}-\d{4}\b]] },
  private_key = { regex = [[-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----]] },
  aws_key = { regex = [[\b(?:AKIA|ASIA)[A-Z0-9]{16}\b]] },
  jwt = { regex = [[\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}]] },
}
