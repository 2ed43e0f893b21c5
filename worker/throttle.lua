-- Turns for a batch of messages, all or nothing for each: see worker/throttle.py, whose `Alone`
-- does the same in memory. Times are microseconds, which a double holds exactly.
--
-- KEYS     one for each count
-- ARGV[1]  JSON: {counts: [[interval, burst], …],
--                 asks: [[lane, waited, queues, patience, door, [[count, cost], …]], …]}
-- ARGV[2]  the time, or empty for this server's own
-- returns  for each ask two numbers: the wait, which is negative if no turn was taken, and the
--          number of the count that it is for

local given = cjson.decode(ARGV[1])
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local SEEN, INTERVAL, TAT = 1, 2, 3
local FIRST, AGAIN = 4, 6 -- plus the lane
local SHAPE = '<ddddddd'

local counts = {}
for index, key in ipairs(KEYS) do
  local interval, burst = given.counts[index][1], given.counts[index][2]
  local state, dirty = redis.call('GET', key), false
  if state then
    state = {struct.unpack(SHAPE, state)}
    if state[SEEN] > now then -- the clock went back: the count goes with it
      for field = TAT, 7 do state[field] = state[field] - (state[SEEN] - now) end
      dirty = true
    end
    if state[INTERVAL] ~= interval then -- another rate: the places were for the old one
      for field = FIRST, 7 do state[field] = 0 end
      state[TAT] = math.min(state[TAT], now + burst * interval)
      dirty = true
    end
  else
    state = {now, interval, 0, 0, 0, 0, 0}
  end
  counts[index] = {interval = interval, burst = burst, state = state, dirty = dirty}
end

local answers = {}
for number, ask in ipairs(given.asks) do
  local lane, waited, queues, patience, door, costs = unpack(ask)
  local start, place, held_by, free = now, now, costs[1][1], true
  for _, cost in ipairs(costs) do
    local count = counts[cost[1]]
    local state = count.state
    local ready = state[TAT] - (count.burst - cost[2]) * count.interval
    local line = 0
    if queues == 1 then
      if lane == 1 then line = math.max(state[FIRST], state[AGAIN]) end
      if waited == 0 then
        line = math.max(line, state[FIRST + lane], state[AGAIN + lane])
      end
      if line > now then free = false end
      if waited == 1 then line = math.max(line, state[AGAIN + lane]) end
    end
    start = math.max(start, ready)
    if math.max(ready, line) > place then
      place, held_by = math.max(ready, line), cost[1]
    end
  end
  if free and start <= now + door then
    for _, cost in ipairs(costs) do
      local count = counts[cost[1]]
      count.state[TAT] = math.max(count.state[TAT], start) + cost[2] * count.interval
      count.dirty = true
    end
    answers[2 * number - 1] = start - now
  elseif queues == 0 then
    answers[2 * number - 1] = now - start
  elseif place - now >= patience then
    answers[2 * number - 1] = -patience
  else
    local count = counts[held_by]
    local line = (waited == 1 and AGAIN or FIRST) + lane
    count.state[line] = place + count.interval
    count.dirty = true
    answers[2 * number - 1] = now - place
  end
  answers[2 * number] = held_by
end

for index, key in ipairs(KEYS) do
  local count = counts[index]
  if count.dirty then
    count.state[SEEN], count.state[INTERVAL] = now, count.interval
    local last = now
    for field = TAT, 7 do last = math.max(last, count.state[field]) end
    redis.call('SET', key, struct.pack(SHAPE, unpack(count.state)),
               'PX', math.ceil((last - now) / 1000) + 1000)
  end
end
return answers
