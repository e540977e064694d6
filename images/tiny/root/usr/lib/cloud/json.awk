# SPDX-License-Identifier: EUPL-1.2
# Flattens a JSON document: one line "path=value" for each scalar, such as
# "public_keys.mykey=ssh-ed25519 ...". Line breaks inside strings become spaces.
{ text = text $0 " " }

END { value("") }

function blank() { sub(/^[ \t\r]+/, "", text) }

function take(n,    s) { s = substr(text, 1, n); text = substr(text, n + 1); return s }

function string(    s, c, out) {
    take(1)
    out = ""
    while (text != "") {
        match(text, /^[^"\\]*/)
        out = out take(RLENGTH)
        c = take(1)
        if (c != "\\") return out
        c = take(1)
        if (c == "u") { out = out unicode(take(4)); continue }
        if (c == "n" || c == "r" || c == "t") c = " "
        out = out c
    }
    return out
}

# ASCII only: the guest uses nothing else
function unicode(hex,    i, n) {
    n = 0
    for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", tolower(substr(hex, i, 1))) - 1
    return n >= 32 && n < 127 ? sprintf("%c", n) : "?"
}

# every turn takes at least one character: broken JSON ends too
function value(path,    c, n, key) {
    blank()
    c = substr(text, 1, 1)
    if (c == "\"") {
        print path "=" string()
        return
    }
    if (c != "{" && c != "[") {
        match(text, /^[^],} \t\r]*/)
        print path "=" take(RLENGTH)
        return
    }
    n = 0
    while (text != "") {
        take(1)
        blank()
        if (text ~ /^[]}]/) break
        if (c == "{") {
            key = string()
            blank()
            take(1)
        } else {
            key = n++
        }
        value(path == "" ? key : path "." key)
        blank()
        if (text !~ /^,/) break
    }
    take(1)
}
