-- Tell who keeps one of KEYS near to look again, on behalf of ARGV[1]; see tell.lua.
return tell(ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', KEYS)
