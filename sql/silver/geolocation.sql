-- Geolocation: several points for most zip prefixes (trap 12). A point outside Brazil, or a row whose
-- state is none of Brazil's, stays and is_valid is false: gold leaves it out. city_name is the comparable
-- form of the city: lower case, no accents, one blank (trap 11).
-- Quarantined: a zip prefix that is not up to five digits, a coordinate that is no finite number.
--
-- model: geolocation
-- key: id
-- source: id, geolocation_zip_code_prefix, geolocation_lat, geolocation_lng, geolocation_city,
--   geolocation_state
-- columns:
--   id long not null
--   geolocation_zip_code_prefix string not null
--   geolocation_lat double not null
--   geolocation_lng double not null
--   geolocation_city string
--   geolocation_state string
--   city_name string
--   is_valid boolean not null
SELECT r._seq AS _seq, r._extra AS _extra,
       r.id AS id,
       zip_prefix(r.geolocation_zip_code_prefix) AS geolocation_zip_code_prefix,
       r.geolocation_lat AS geolocation_lat,
       r.geolocation_lng AS geolocation_lng,
       r.geolocation_city AS geolocation_city,
       text_upper(trim(r.geolocation_state)) AS geolocation_state,
       city_name(r.geolocation_city) AS city_name,
       CASE WHEN in_brazil(parse_double(r.geolocation_lat), parse_double(r.geolocation_lng))
             AND is_state(text_upper(trim(r.geolocation_state))) THEN 'true' ELSE 'false' END AS is_valid,
       broken('geolocation_zip_code_prefix', r.geolocation_zip_code_prefix,
              NOT is_digits(zip_prefix(r.geolocation_zip_code_prefix))
              OR char_length(zip_prefix(r.geolocation_zip_code_prefix)) <> 5,
              'is not a zip prefix') AS _error
FROM raw r
