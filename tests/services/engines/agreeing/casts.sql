-- cast string int
SELECT id, TRY_CAST(s AS INT) AS v FROM raw.texts

-- cast string double
SELECT id, TRY_CAST(s AS DOUBLE) AS v FROM raw.texts

-- cast string date
SELECT id, TRY_CAST(s AS DATE) AS v FROM raw.texts

-- cast string ts
SELECT id, TRY_CAST(s AS TIMESTAMP) AS v FROM raw.texts

-- cast string bool
SELECT TRY_CAST(x AS BOOLEAN) AS v FROM VALUES ('true'),('f'),('yes'),('0'),('maybe'),(' T ') AS t(x)

-- cast string dec
SELECT id, TRY_CAST(s AS DECIMAL(5,1)) AS v FROM raw.texts

-- cast dec string
SELECT CAST(price AS STRING) AS v FROM raw.orders

-- cast ts string
SELECT CAST(ts AS STRING) AS v, CAST(local AS STRING) AS w FROM raw.orders

-- cast date string
SELECT CAST(day AS STRING) AS v FROM raw.orders

-- cast bool string
SELECT CAST(ok AS STRING) AS v, CAST(ok AS INT) AS w FROM raw.orders

-- cast double int
SELECT CAST(rate AS INT) AS v, CAST(rate AS BIGINT) AS w FROM raw.orders

-- cast dec narrow
SELECT CAST(price AS DECIMAL(10,1)) AS v FROM raw.orders

-- try cast dec overflow
SELECT TRY_CAST(12345.678 AS DECIMAL(5,2)) AS v

-- cast dec int
SELECT CAST(price AS INT) AS v FROM raw.orders

-- cast ts long
SELECT CAST(ts AS BIGINT) AS v FROM raw.orders

-- cast long ts
SELECT CAST(amount AS TIMESTAMP) AS v FROM raw.orders

-- cast map string
SELECT CAST(attributes AS STRING) AS v FROM raw.events WHERE id <> 4

-- cast array elem
SELECT CAST(numbers AS ARRAY<STRING>) AS v FROM raw.events

-- cast struct
SELECT CAST(item AS STRUCT<sku: STRING, qty: BIGINT>) AS v FROM raw.events

-- cast binary
SELECT CAST(s AS BINARY) AS v FROM raw.texts

-- cast ts forms
SELECT TRY_CAST(x AS TIMESTAMP) AS v
FROM VALUES ('2026-01-01 10:00:00+02:00'),('2026-01-01T10:00:00Z'),('2026-01-01 10:00'),('2026-01-01 10:00:00.1234567'),('2026-01-01 10:00:00 Europe/Berlin') AS t(x)
