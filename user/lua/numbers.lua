-- numbers.lua - integers of 64 bits, floating point and how both are printed and read.
print(math.maxinteger, math.mininteger, math.maxinteger + 1 == math.mininteger)
print(7 // 2, -7 // 2, 7 % -3, -7 % 3, 7 / 2, 2 ^ 53, 1 << 62, ~0)
print(10 // 0.0, -10 % math.huge, 0x7fffffffffffffff // -1, math.tointeger(3.0))
for _, x in ipairs { 0.1, 1 / 3, 1e100, 1e-300, 123456.789, -0.0, 2 ^ 63, 5e-324 } do
    print(x, string.format("%.17g %.3f %e", x, x, x))
end
print(string.format("%5d|%-8s|%08.3f|%x|%q", 42, "left", 3.14159, 255, "a\nb"))
print(tonumber("0x1p4"), tonumber("1e1"), tonumber("  12  "), tonumber("z", 36), tonumber("12x"))
print(string.format("%a %a %A", 1, 0.1, -1e10))
local sum = 0.0
for i = 1, 100000 do sum = sum + 1 / i end
print(string.format("%.15g", sum))
for _, f in ipairs { "sqrt", "sin", "cos", "tan", "exp", "log", "atan" } do
    print(f, string.format("%.12g", math[f](1.25)))
end
print(math.fmod(7, 3), math.fmod(-7.5, 2), math.floor(-3.5), math.ceil(3.2), math.ult(1, -1))
