-- strings.lua - patterns, formats, packing, and text of many pieces.
local text = "The quick brown fox jumps over the lazy dog"
print(#text, text:upper(), text:reverse())
print(text:gsub("%w+", function(w) return w:sub(2) .. w:sub(1, 1) end))
for k, v in ("a=1, b=22, c=333"):gmatch("(%w+)=(%w+)") do io.write(k, ":", v, " ") end
print()
print(("x"):rep(10, "-"), ("%d items"):format(3), text:find("fox", 1, true), text:match("(%a+) dog"))
local packed = string.pack("<i4 >i2 z s1", -2, 258, "zero", "counted")
print(#packed, string.unpack("<i4 >i2 z s1", packed))
local parts = {}
for i = 1, 2000 do parts[#parts + 1] = i .. ":" .. ("y"):rep(i % 7) end
local long = table.concat(parts, ",")
local hash = 5381
for i = 1, #long do hash = (hash * 33 ~ long:byte(i)) & 0xffffffff end
print(#long, hash)
print(utf8.char(72, 228, 8364, 128512), utf8.len("häß"), pcall(string.rep, "x", -1))
