-- files.lua - a file written, read in each way, and removed; what goes wrong says why.
local name = "files.tmp"
local out = assert(io.open(name, "w"))
for i = 1, 300 do out:write("line ", i, "\n") end
print(out:seek("cur"), out:seek("set", 5), out:write("X") == out, out:seek("end"))
out:close()
local lines, bytes = 0, 0
for line in io.lines(name) do lines, bytes = lines + 1, bytes + #line + 1 end
print(lines, bytes)
local file = io.open(name)
print(file:read("l", "n", "l", "L", 4))
file:seek("end", -9)
print(file:read("a"))
print(file:read("a"), file:read("l"))
file:close()
file = io.open(name, "a")
file:write("appended\n")
file:close()
file = io.open(name, "rb")
local all = file:read("a")
print(#all, all:sub(-9, -2))
file:close()
print(os.remove(name), io.open(name))
