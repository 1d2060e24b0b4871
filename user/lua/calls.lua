-- calls.lua - many calls and tables: and how deep they may go.
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print(fib(22))
local function depth(n) return n == 0 and 0 or 1 + depth(n - 1) end
print(depth(10000), pcall(string.format, "%s"))
local levels = 0
local function down() levels = levels + 1; return (("a"):gsub("a", down)) end
print(pcall(down), levels) -- as deep as C's own stack goes
local words = {}
for i = 1, 20000 do words["key" .. i % 997] = (words["key" .. i % 997] or 0) + i end
local sum = 0
for _, v in pairs(words) do sum = sum + v end
print(sum)
