-- weekday of a Sunday | other rows | engine.weekday
SELECT WEEKDAY(day) AS v FROM raw.orders

-- day of the week | other rows | engine.extract_dow
SELECT EXTRACT(DOW FROM day) AS v FROM raw.orders

-- day of the week, as a function | other rows | engine.extract_dow
SELECT DATE_PART('dow', day) AS v FROM raw.orders

-- day of the week by its long name | embedded refuses | engine.extract_part
SELECT EXTRACT(DAYOFWEEK FROM day) AS v FROM raw.orders

-- day of the ISO week | embedded refuses | engine.extract_part
SELECT EXTRACT(DAYOFWEEK_ISO FROM day) AS v FROM raw.orders

-- days between timestamps | other rows | engine.days_between
SELECT TIMESTAMPDIFF(DAY, ts, TIMESTAMP '2026-04-01 00:00:00') AS v FROM raw.orders

-- days between timestamps, by the other name | other rows | engine.days_between
SELECT DATEDIFF(DAY, ts, TIMESTAMP '2026-04-01 00:00:00') AS v FROM raw.orders

-- days between dates | other types | engine.wider_integer
SELECT DATEDIFF(DATE '2026-03-01', day) AS v FROM raw.orders

-- days since the row before | other types | engine.wider_integer
SELECT order_id, DATEDIFF(day, LAG(day) OVER (ORDER BY day)) AS v FROM raw.orders

-- date minus date | other types | engine.date_minus_date
SELECT CAST(ts AS DATE) - DATE '2026-01-01' AS v FROM raw.orders

-- date plus hours | other types | engine.date_plus_interval
SELECT CAST(ts AS DATE) + INTERVAL 2 HOURS AS v FROM raw.orders

-- date plus a number of days | other types | engine.date_plus_interval
SELECT CAST(ts AS DATE) + qty * INTERVAL 1 DAY AS v FROM raw.orders

-- date plus bigint | spark refuses | engine.date_plus_bigint
SELECT CAST(ts AS DATE) + CAST(amount AS BIGINT) AS v FROM raw.orders

-- bigint days added | spark refuses | engine.date_plus_bigint
SELECT DATE_ADD(day, CAST(amount AS BIGINT)) AS v FROM raw.orders

-- date truncated | other types | engine.date_trunc_type
SELECT DATE_TRUNC('month', CAST(ts AS DATE)) AS v FROM raw.orders

-- local timestamp truncated | other types | engine.date_trunc_type
SELECT DATE_TRUNC('day', CAST(ts AS TIMESTAMP_NTZ)) AS v FROM raw.orders

-- date of a text with a time | other rows | engine.date_with_time
SELECT TRY_CAST('2026-01-01T10:00:00' AS DATE) AS v

-- date of a text, or NULL | embedded refuses | engine.missing_function
SELECT TRY_TO_DATE(s) AS v FROM raw.texts

-- rows by the day | embedded refuses | engine.missing_function
SELECT WINDOW(ts, '1 day').start AS v, COUNT(*) AS n FROM raw.orders GROUP BY 1
