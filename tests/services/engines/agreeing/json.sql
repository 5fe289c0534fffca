-- get json object
SELECT id, GET_JSON_OBJECT(payload, '$.a') AS a, GET_JSON_OBJECT(payload, '$.b.c') AS b,
  GET_JSON_OBJECT(payload, '$.l[1]') AS c
FROM raw.events

-- from json
SELECT id, FROM_JSON(payload, 'a INT, b STRUCT<c: STRING>, l ARRAY<INT>') AS j FROM raw.events

-- from json field
SELECT id, FROM_JSON(payload, 'a INT').a AS j FROM raw.events

-- to json
SELECT id, TO_JSON(item) AS a, TO_JSON(attributes) AS b, TO_JSON(numbers) AS c FROM raw.events

-- json tuple
SELECT id, JSON_TUPLE(payload, 'a', 'b') AS (x, y) FROM raw.events

-- json arr len
SELECT id, JSON_ARRAY_LENGTH('[1,2,3]') AS a FROM raw.events

-- from json bad
SELECT id, FROM_JSON(payload, 'a INT').a AS a FROM raw.events

-- from json arr
SELECT FROM_JSON('[1,2]', 'ARRAY<INT>') AS a, FROM_JSON('{"x": 1}', 'MAP<STRING, INT>') AS b
