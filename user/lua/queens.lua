-- queens.lua - eight queens: the number of solutions, and the first board.
local N = 8
local solutions, first = 0, nil
local column, up, down = {}, {}, {}

local function place(row, board)
    if row > N then
        solutions = solutions + 1
        first = first or table.concat(board, " ")
        return
    end
    for c = 1, N do
        if not (column[c] or up[row + c] or down[row - c]) then
            column[c], up[row + c], down[row - c] = true, true, true
            board[row] = c
            place(row + 1, board)
            column[c], up[row + c], down[row - c] = nil, nil, nil
        end
    end
end

place(1, {})
print(solutions, first)
