# help.awk - `make help`: the tables of commands in README.md, which are the one source of it, as text. For any awk.
#
# A link's text gives way to its address; the variables are the paragraph of that name.

function plain(text) {
    gsub(/`/, "", text)
    while (match(text, /\[[^]]*\]\([^)]*\)/)) {
        link = substr(text, RSTART, RLENGTH)
        sub(/^[^]]*\]\(/, "", link)
        text = substr(text, 1, RSTART - 1) substr(link, 1, length(link) - 1) substr(text, RSTART + RLENGTH)
    }
    return text
}

/^## / { heading = substr($0, 4) }

/^\| `(make|sh)/ {
    if (heading != shown) print (shown ? "\n" : "") heading ":"
    shown = heading
    split(substr($0, 3, length($0) - 4), cell, " [|] ")
    printf "  %-34s  %s\n", plain(cell[1]), plain(cell[2])
}

/^Variables: / { within = 1; print "" }
/^$/ { within = 0 }
within { print plain($0) }
