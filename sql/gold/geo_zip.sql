-- One place for each zip prefix, so that a join with geolocation does not fan out.
-- Points outside Brazil are left out; the place is the lower median of latitude and of longitude; city
-- (in its comparable form) and state are the most frequent ones.
--
-- model: geo_zip
-- kind: row
-- key: zip
-- group: zip
-- input: geolocation(geolocation_zip_code_prefix) = group
-- sort: zip
-- columns:
--   zip string not null
--   city string not null
--   state string not null
--   lat double not null
--   lng double not null
--   points long not null
WITH inside AS (
    SELECT geolocation_zip_code_prefix AS zip, id, geolocation_lat AS lat, geolocation_lng AS lng,
           coalesce(city_name, geolocation_city, 'unknown') AS city,
           coalesce(geolocation_state, 'unknown') AS state
    FROM geolocation
    WHERE is_valid
),
placed AS (
    SELECT zip, lat, lng,
           row_number() OVER (PARTITION BY zip ORDER BY lat, id) AS lat_place,
           row_number() OVER (PARTITION BY zip ORDER BY lng, id) AS lng_place,
           count(*) OVER (PARTITION BY zip) AS total
    FROM inside
),
medians AS (
    SELECT zip, max(total) AS points,
           max(CASE WHEN lat_place = CAST(floor((total + 1) / 2) AS BIGINT) THEN lat END) AS lat,
           max(CASE WHEN lng_place = CAST(floor((total + 1) / 2) AS BIGINT) THEN lng END) AS lng
    FROM placed
    GROUP BY zip
),
named AS (
    SELECT zip, city, state, row_number() OVER (PARTITION BY zip ORDER BY times DESC, city, state) AS place
    FROM (SELECT zip, city, state, count(*) AS times FROM inside GROUP BY zip, city, state) AS counted
)
SELECT m.zip AS zip, n.city AS city, n.state AS state, m.lat AS lat, m.lng AS lng, m.points AS points
FROM medians m
JOIN named n ON n.zip = m.zip AND n.place = 1
