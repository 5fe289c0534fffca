-- array with NULL contains | other rows | engine.array_contains_null
SELECT ARRAY_CONTAINS(ARRAY(1, NULL), 2) AS v

-- greatest struct | other rows | engine.greatest_struct
SELECT MAX(STRUCT(a, b)) AS v FROM VALUES (CAST(NULL AS STRING), CAST(NULL AS INT)), ('s', 2) AS t(a, b)

-- greatest array | other rows | engine.greatest_struct
SELECT MAX(ARRAY(a, 1)) AS v FROM VALUES (CAST(NULL AS INT)), (3), (2) AS t(a)

-- elements after a comma | other rows | engine.lateral_generator
SELECT id, t.x FROM raw.events, LATERAL EXPLODE(tags) AS t(x)

-- elements by a join | other rows | engine.lateral_generator
SELECT id, t.x FROM raw.events CROSS JOIN LATERAL EXPLODE(tags) AS t(x)

-- field of an element | spark refuses | engine.field_of_generator
SELECT EXPLODE(lines).sku AS v FROM raw.events

-- two arrays, element by element | embedded refuses | engine.missing_function
SELECT id, ZIP_WITH(numbers, numbers, (x, y) -> x + y) AS v FROM raw.events

-- other values of a map | embedded refuses | engine.missing_function
SELECT id, TRANSFORM_VALUES(attributes, (k, v) -> UPPER(v)) AS v FROM raw.events

-- other keys of a map | embedded refuses | engine.missing_function
SELECT id, TRANSFORM_KEYS(attributes, (k, v) -> UPPER(k)) AS v FROM raw.events

-- array without some | embedded refuses | engine.array_except
SELECT ARRAY_EXCEPT(numbers, ARRAY(1, 9)) AS v FROM raw.events
