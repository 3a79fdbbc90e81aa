"""Golden vectors of the canonical form: quoted from RFC 8785, or JSON for `rfc8785` to encode.

Independent of the package under test: it imports nothing of it.
"""

import json

# RFC 8785: sections 3.2.2 and 3.2.3, quoted ------------------------------------------------------

CANONICAL_QUOTED = [
    (
        "the sample object of RFC 8785 section 3.2.2",
        '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        r'"string":"\u20ac$\u000F\u000aA' + "'" + r'\u0042\u0022\u005c\\\"\/",'
        '"literals":[null,true,false]}',
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA' + "'" + r'B\"\\\\\"/"}',
    ),
    (
        "the sorting sample of RFC 8785 section 3.2.3: UTF-16 code units, astral before U+FB33",
        (
            r'{"\u20ac":"Euro Sign","\r":"Carriage Return",'
            r'"\ufb33":"Hebrew Letter Dalet With Dagesh",'
            r'"1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control",'
            r'"\u00f6":"Latin Small Letter O With Diaeresis"}'
        ),
        (
            '{"\\r":"Carriage Return","1":"One","\u0080":"Control",'
            '"\u00f6":"Latin Small Letter O With Diaeresis","\u20ac":"Euro Sign",'
            '"\U0001f600":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}'
        ),
    ),
]

CANONICAL_COMPUTED = [
    ("null is null", "null"),
    ("an empty string is not null", '""'),
    ("an empty array", "[]"),
    ("an empty object", "{}"),
    ("null and empty side by side", '[null,"",[],{},0,false]'),
    ("spaces go", ' { "b" : [ 1 , 2 ] , "a" : 1 } '),
    ("keys are sorted at every depth", '{"b":{"z":1,"a":2},"a":[{"d":1,"c":2}]}'),
    ("a prefix sorts first", '{"aa":1,"a":2,"":3}'),
    ("capitals sort before small letters", '{"a":1,"B":2}'),
    ("every control character is escaped", json.dumps("".join(map(chr, range(32))))),
    ("delete and line separators are not", json.dumps("\x7f\u2028\u2029")),
    ("quote, backslash and slash", r'"\"\\\/"'),
    ("an astral character", json.dumps("\U0001f680 ship it")),
    ("composed and decomposed stay apart", json.dumps(["\u00e9", "e\u0301"])),
    ("one point zero is one", "1.0"),
    ("minus zero is zero", "-0.0"),
    ("exponents", "[1e2,1E-7,1.5e300,1.2345678901234568e20,1e21]"),
    ("the largest integers", "[9007199254740991,-9007199254740991]"),
]

# RFC 8785 Appendix B, quoted: IEEE 754 bits and text; null where there is none.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("7fffffffffffffff", None),
    ("7ff0000000000000", None),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]
