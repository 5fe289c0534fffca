-- quote inside a text | other rows | engine.doubled_quote
SELECT 'it''s' AS v

-- words that begin with a capital | other rows | engine.initcap
SELECT INITCAP('foo bar-baz x_y') AS v

-- pattern that looks ahead | embedded refuses | engine.regex_lookaround
SELECT REGEXP_REPLACE(s, '[a-z](?=-)', '#') AS v FROM raw.texts

-- pattern that looks behind | embedded refuses | engine.regex_lookaround
SELECT REGEXP_REPLACE('a1b2', '(?<=a)1', 'X') AS v

-- pattern that refers back | embedded refuses | engine.regex_lookaround
SELECT 'aa' RLIKE '(a)\\1' AS v

-- letters of other scripts | other rows | engine.regex_unicode
SELECT 'ä' RLIKE '^\\w$' AS v, '٣' RLIKE '^\\d$' AS w

-- split into characters | other rows | engine.split_empty
SELECT SPLIT(s, '') AS v FROM raw.texts

-- part that begins before the text | other rows | engine.substring_start
SELECT SUBSTRING('abc', -5, 3) AS v

-- part of a negative length | embedded refuses | engine.substring_length
SELECT SUBSTRING('abc', 2, -1) AS v

-- one of some patterns | embedded refuses | engine.like_any
SELECT id, s LIKE ANY ('%a%', '%1%') AS v FROM raw.texts

-- all of some patterns | embedded refuses | engine.like_any
SELECT id, s LIKE ALL ('%a%', '%1%') AS v FROM raw.texts

-- comparison without case | embedded refuses | engine.collate
SELECT 'a' COLLATE UTF8_LCASE = 'A' AS v

-- object inside JSON | other rows | engine.json_text
SELECT id, GET_JSON_OBJECT(payload, '$.b') AS v FROM raw.events

-- number inside JSON | other rows | engine.json_text
SELECT GET_JSON_OBJECT('{"a": 1.50}', '$.a') AS v

-- elements of an array inside JSON | other rows | engine.json_wildcard
SELECT id, GET_JSON_OBJECT(payload, '$.l[*]') AS v FROM raw.events

-- timestamps and decimals as JSON | other rows | engine.to_json
SELECT TO_JSON(NAMED_STRUCT('t', ts, 'p', price)) AS v FROM raw.orders
