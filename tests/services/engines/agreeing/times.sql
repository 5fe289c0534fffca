-- add months only
SELECT ADD_MONTHS(day, 1) AS a, ADD_MONTHS(day, -13) AS b FROM raw.orders

-- date interval
SELECT day + INTERVAL 1 MONTH AS a, day - INTERVAL 3 DAYS AS b FROM raw.orders

-- ts interval
SELECT ts + INTERVAL 1 HOUR AS a, ts - INTERVAL '1 02:03:04' DAY TO SECOND AS b, ts + INTERVAL 1 MONTH AS c
FROM raw.orders

-- ts minus ts
SELECT CAST(TIMESTAMP '2026-03-01 00:00:00' - ts AS STRING) AS a FROM raw.orders

-- ts parts
SELECT HOUR(ts) AS a, MINUTE(ts) AS b, SECOND(ts) AS c, EXTRACT(YEAR FROM ts) AS d, DATE_PART('week', ts) AS e
FROM raw.orders

-- extract seconds
SELECT EXTRACT(SECOND FROM ts) AS a FROM raw.orders

-- date trunc
SELECT DATE_TRUNC('month', ts) AS a, DATE_TRUNC('week', ts) AS b, DATE_TRUNC('hour', ts) AS c,
  TRUNC(day, 'MM') AS d, TRUNC(day, 'YEAR') AS e
FROM raw.orders

-- date format
SELECT DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm:ss') AS a, DATE_FORMAT(day, 'dd/MM/yy') AS b FROM raw.orders

-- date format text
SELECT DATE_FORMAT(ts, 'EEE, d MMM yyyy') AS a FROM raw.orders

-- date format more
SELECT DATE_FORMAT(ts, 'EEEE MMMM D Q a h') AS a FROM raw.orders

-- date format ms
SELECT DATE_FORMAT(ts, 'HH:mm:ss.SSS') AS a FROM raw.orders

-- date format quoted
SELECT DATE_FORMAT(ts, "yyyy-MM-dd'T'HH:mm") AS a FROM raw.orders

-- to date fmt
SELECT TO_DATE('31/01/2026', 'dd/MM/yyyy') AS a, TO_TIMESTAMP('2026-01-31 10:11', 'yyyy-MM-dd HH:mm') AS b

-- to date bad
SELECT TRY_TO_TIMESTAMP(s) AS a FROM raw.texts

-- unix
SELECT UNIX_TIMESTAMP(ts) AS a, FROM_UNIXTIME(0) AS b, TIMESTAMP_SECONDS(1) AS c, TIMESTAMP_MILLIS(1500) AS d,
  UNIX_SECONDS(ts) AS e, UNIX_DATE(day) AS f
FROM raw.orders

-- unix fmt
SELECT UNIX_TIMESTAMP('2026-01-31', 'yyyy-MM-dd') AS a, FROM_UNIXTIME(86400, 'yyyy/MM/dd') AS b

-- make date
SELECT MAKE_DATE(2026, 1, 31) AS a, MAKE_TIMESTAMP(2026, 1, 31, 1, 2, 3.5) AS b

-- from utc
SELECT FROM_UTC_TIMESTAMP(ts, 'Europe/Berlin') AS a, TO_UTC_TIMESTAMP(ts, 'America/New_York') AS b
FROM raw.orders

-- convert tz
SELECT CONVERT_TIMEZONE('UTC', 'Europe/Berlin', local) AS a FROM raw.orders

-- ts literal zone
SELECT TIMESTAMP '2026-01-01 10:00:00+02:00' AS a, TIMESTAMP '2026-01-01 10:00:00 America/New_York' AS b,
  TIMESTAMP_NTZ '2026-01-01 10:00:00' AS c

-- ts ntz compare
SELECT ts = local AS a, CAST(ts AS TIMESTAMP_NTZ) AS b, CAST(local AS TIMESTAMP) AS c FROM raw.orders

-- datediff unit
SELECT DATEDIFF(MONTH, day, DATE '2026-04-01') AS a, DATEADD(WEEK, 2, day) AS b FROM raw.orders

-- date seq
SELECT EXPLODE(SEQUENCE(DATE '2026-01-30', DATE '2026-02-02')) AS d

-- month seq
SELECT EXPLODE(SEQUENCE(DATE '2026-01-31', DATE '2026-05-31', INTERVAL 1 MONTH)) AS d

-- date compare string
SELECT order_id FROM raw.orders WHERE day >= '2026-01-31'

-- between dates
SELECT order_id FROM raw.orders WHERE day BETWEEN DATE '2026-01-01' AND DATE '2026-02-01'

-- dayname
SELECT DAYNAME(day) AS a, MONTHNAME(day) AS b FROM raw.orders

-- date from unix
SELECT DATE_FROM_UNIX_DATE(1) AS a, UNIX_MICROS(ts) AS b, UNIX_MILLIS(ts) AS c FROM raw.orders

-- datediff u
SELECT DATEDIFF(HOUR, ts, TIMESTAMP '2026-04-01 00:00:00') AS a,
  TIMESTAMPDIFF(MINUTE, ts, TIMESTAMP '2026-04-01 00:00:00') AS b
FROM raw.orders

-- datediff m
SELECT TIMESTAMPDIFF(MONTH, ts, TIMESTAMP '2026-04-01 00:00:00') AS b FROM raw.orders

-- datediff d
SELECT DATEDIFF(DAY, day, DATE '2026-04-01') AS b, TIMESTAMPDIFF(WEEK, day, DATE '2026-04-01') AS w
FROM raw.orders

-- between dur
SELECT CAST(DATE '2026-03-01' - day AS INT) AS a FROM raw.orders

-- interval mul2
SELECT ts + qty * INTERVAL 1 HOUR AS a FROM raw.orders

-- date plus int
SELECT day + qty AS a, DATE_ADD(day, qty) AS b FROM raw.orders

-- date plus cast
SELECT DATE_ADD(day, CAST(amount AS INT)) AS b FROM raw.orders

-- date trunc cast
SELECT DATE_TRUNC('month', CAST(day AS TIMESTAMP)) AS a FROM raw.orders

-- date trunc iv
SELECT CAST(DATE_TRUNC('month', day) AS DATE) AS a FROM raw.orders

-- last day str
SELECT LAST_DAY('2026-02-01') AS a, DATE_ADD('2026-02-01', 1) AS b, YEAR('2026-02-01') AS c

-- ts str cmp
SELECT order_id FROM raw.orders WHERE ts >= '2026-01-31 00:00:00'

-- ts date cmp
SELECT order_id FROM raw.orders WHERE ts >= DATE '2026-01-31'

-- date ts cmp
SELECT order_id FROM raw.orders WHERE CAST(ts AS DATE) = day

-- tsd week
SELECT TIMESTAMPDIFF(WEEK, ts, TIMESTAMP '2026-04-01 00:00:00') AS b FROM raw.orders

-- tsd month
SELECT TIMESTAMPDIFF(MONTH, TIMESTAMP '2026-01-31 00:59:00', TIMESTAMP '2026-03-01 02:01:00') AS b,
  TIMESTAMPDIFF(MONTH, TIMESTAMP '2026-01-15 00:59:00', TIMESTAMP '2026-03-14 02:01:00') AS c,
  TIMESTAMPDIFF(YEAR, TIMESTAMP '2025-12-31 00:59:00', TIMESTAMP '2026-03-14 02:01:00') AS d,
  TIMESTAMPDIFF(MINUTE, TIMESTAMP '2025-12-31 00:00:59', TIMESTAMP '2025-12-31 00:01:01') AS e

-- datediff cast
SELECT CAST(DATEDIFF(DATE '2026-03-01', day) AS INT) AS e FROM raw.orders

-- datediff where
SELECT order_id FROM raw.orders WHERE DATEDIFF(DATE '2026-03-01', day) > 10

-- date add datediff
SELECT DATE_ADD(day, DATEDIFF(DATE '2026-03-01', day)) AS a FROM raw.orders

-- ts hours
SELECT CAST(day AS TIMESTAMP) + INTERVAL 2 HOURS AS a FROM raw.orders

-- str dates
SELECT CONCAT(day, ' ', ts) AS a FROM raw.orders

-- date format E
SELECT DATE_FORMAT(day, 'E') AS a, DATE_FORMAT(day, 'MMM') AS b, DATE_FORMAT(day, 'yyyyMMdd') AS c,
  DATE_FORMAT(ts, 'hh:mm a') AS d
FROM raw.orders

-- date format F
SELECT DATE_FORMAT(day, 'D') AS a, DATE_FORMAT(day, 'Q') AS b FROM raw.orders

-- make interval days
SELECT day + MAKE_INTERVAL(0, 0, 0, 2) AS a FROM raw.orders
