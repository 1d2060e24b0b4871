-- objects.lua - closures, metatables, coroutines, errors, and a heap that grows and shrinks.
local Account = {}
Account.__index = Account
Account.__add = function(a, b) return setmetatable({ balance = a.balance + b.balance }, Account) end
Account.__tostring = function(a) return "account of " .. a.balance end
function Account.new(n) return setmetatable({ balance = n }, Account) end
print(tostring(Account.new(3) + Account.new(4)))

local function primes(limit)
    return coroutine.wrap(function()
        local sieve = {}
        for n = 2, limit do
            if not sieve[n] then
                coroutine.yield(n)
                for m = n * n, limit, n do sieve[m] = true end
            end
        end
    end)
end
local count, last = 0, nil
for p in primes(20000) do count, last = count + 1, p end
print(count, last)

print(pcall(error, { code = 7 }) == false, select("#", pcall(error)), (select(2, pcall(function() local x = nil; return x.y end))))

local function tree(depth) return depth == 0 and {} or { tree(depth - 1), tree(depth - 1) } end
local function leaves(t) return t[1] and leaves(t[1]) + leaves(t[2]) or 1 end
for depth = 1, 11 do io.write(leaves(tree(depth)), " ") end
print()

local keep = setmetatable({}, { __mode = "k" })
for i = 1, 1000 do keep[{}] = i end
collectgarbage()
print(next(keep), collectgarbage("count") < 2048)

local t = {}
for i = 1, 5000 do t[i] = (i * 7919) % 5003 end
table.sort(t)
print(t[1], t[2500], t[5000], table.unpack(t, 1, 3))
