-- Put the fence ARGV[1], which lapses after ARGV[2] ms, in the place of each of KEYS.
for _, key in ipairs(KEYS) do
  fence(key, ARGV[1], now + ARGV[2])
end
