-- Events to the end of a Redis stream, all or none: see `RedisStreams` in worker/sinks.py.
--
-- KEYS[1]  the stream
-- ARGV[1]  about how many entries it keeps
-- ARGV     then for each event its id and its record
-- returns  how many entries the stream was given

for at = 2, #ARGV, 2 do
  -- Nothing but the first can fail: what is no stream, or a Redis that has no memory left.
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'id', ARGV[at], 'data', ARGV[at + 1])
end
return (#ARGV - 1) / 2
