-- plugins/presence-throttle: what others are told of a cursor that moves very often.
local process = require "process"
local World = require "world"

describe("a cursor that moves very often", function()
  local world

  setup(function()
    world = World.new { config = "auth = { mode = 'open' }\nplugins = { ['presence-throttle'] = { config = { rate = '1000/s', coalesce = '1s' } } }\n" }
  end)
  teardown(function()
    world:close()
    process.clean()
  end)

  it("is told seldom, the newest in the end, and its going at once", function()
    local anna, ben = world:client "anna":joins "p/often", world:client "ben":joins "p/often"
    anna:shows { cursor = 0 }
    ben:sees_person(anna, function(state) return state.cursor == 0 end)
    local before = ben:received(1)
    for n = 1, 40 do anna:shows { cursor = n } end
    anna:catches_up()
    ben:sees_person(anna, function(state) return state.cursor == 40 end, 30)
    -- Forty moves in one moment; told in seconds, not in frames of their own.
    assert.is_true(ben:received(1) - before < 10)
    anna:vanishes()
    ben:misses_person(anna, 30)
  end)

  it("does not hold up others in the same document", function()
    local anna, ben, cleo = world:client "anna":joins "p/other", world:client "ben":joins "p/other", world:client "cleo":joins "p/other"
    anna:shows { cursor = 0 }
    ben:sees_person(anna)
    anna:shows { cursor = 1 } -- waits
    cleo:shows { cursor = 7 }
    ben:sees_person(cleo, function(state) return state.cursor == 7 end)
    local late = world:client "late":joins "p/other"
    late:sees_person(anna, function(state) return state.cursor == 1 end)
    ben:sees_person(anna, function(state) return state.cursor == 1 end, 30)
  end)
end)
