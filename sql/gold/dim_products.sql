-- Products with their versions: one for each transaction that changed them, valid from its commit time in
-- the shop's time zone; the first one from the epoch. A deleted product keeps its versions, closed.
-- category is an id (the English name as published, typing errors included, else the Portuguese one, else
-- 'unknown'); category_en, category_pt and category_vi are for people.
--
-- model: dim_products
-- kind: row
-- key: product_id, valid_from
-- group: product_id
-- input: products_history(product_id) = group
-- input: product_category_name_translation(product_category_name) = products_history.product_category_name
-- sort: product_key
-- columns:
--   product_key long not null
--   product_id string not null
--   category string not null
--   category_en string not null
--   category_pt string not null
--   category_vi string not null
--   name_length integer
--   description_length integer
--   photos_qty integer
--   weight_g integer
--   length_cm integer
--   height_cm integer
--   width_cm integer
--   valid_from timestamp not null
--   valid_to timestamp
--   is_current boolean not null
WITH last_of_transaction AS (
    SELECT h.*, row_number() OVER (PARTITION BY product_id, _epoch, _lsn ORDER BY _ordinal DESC) AS place
    FROM products_history h
),
described AS (
    SELECT product_id, product_category_name AS portuguese,
           product_name_length AS name_length, product_description_length AS description_length,
           product_photos_qty AS photos_qty, product_weight_g AS weight_g, product_length_cm AS length_cm,
           product_height_cm AS height_cm, product_width_cm AS width_cm,
           _epoch, _lsn, to_micros(_valid_from) AS committed,
           CASE WHEN _op IN ('d', 't') THEN ''
                ELSE concat(coalesce(product_category_name, ''), '|',
                            CAST(coalesce(product_name_length, -1) AS VARCHAR(20)), '|',
                            CAST(coalesce(product_description_length, -1) AS VARCHAR(20)), '|',
                            CAST(coalesce(product_photos_qty, -1) AS VARCHAR(20)), '|',
                            CAST(coalesce(product_weight_g, -1) AS VARCHAR(20)), '|',
                            CAST(coalesce(product_length_cm, -1) AS VARCHAR(20)), '|',
                            CAST(coalesce(product_height_cm, -1) AS VARCHAR(20)), '|',
                            CAST(coalesce(product_width_cm, -1) AS VARCHAR(20))) END AS content
    FROM last_of_transaction
    WHERE place = 1
),
followed AS (
    SELECT d.*,
           coalesce(lag(content) OVER (PARTITION BY product_id ORDER BY _epoch, _lsn), '') AS content_before
    FROM described d
),
numbered AS (
    SELECT f.*, row_number() OVER (PARTITION BY product_id ORDER BY _epoch, _lsn) AS number
    FROM followed f
    WHERE content <> content_before
),
-- Strictly later than the version before, also when the clocks go back.
opened AS (
    SELECT n.*, CASE WHEN number = 1 THEN 0 ELSE
                max(committed - number) OVER (PARTITION BY product_id ORDER BY number
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) + number END AS opened_at
    FROM numbered n
),
closed AS (
    SELECT o.*, lead(nullif(opened_at, -1)) OVER (PARTITION BY product_id ORDER BY number) AS closed_at
    FROM opened o
),
named AS (
    SELECT c.*, coalesce(t.product_category_name_english, c.portuguese, 'unknown') AS category
    FROM closed c
    LEFT JOIN product_category_name_translation t ON t.product_category_name = c.portuguese
    WHERE c.content <> ''
)
SELECT surrogate_key(concat(v.product_id, '|', CAST(v.opened_at AS VARCHAR(20)))) AS product_key,
       v.product_id AS product_id, v.category AS category,
       CASE v.category
           WHEN 'costruction_tools_garden' THEN 'Construction Tools Garden'
           WHEN 'costruction_tools_tools' THEN 'Construction Tools Tools'
           WHEN 'fashio_female_clothing' THEN 'Fashion Female Clothing'
           WHEN 'home_confort' THEN 'Home Comfort'
           WHEN 'home_comfort_2' THEN 'Home Comfort 2'
           WHEN 'arts_and_craftmanship' THEN 'Arts and Craftsmanship'
           WHEN 'pc_gamer' THEN 'PC Gamer'
           WHEN 'portateis_cozinha_e_preparadores_de_alimentos' THEN 'Portable Kitchen and Food Processors'
           WHEN 'cds_dvds_musicals' THEN 'CDs and DVDs Musicals'
           WHEN 'dvds_blu_ray' THEN 'DVDs and Blu-ray'
           WHEN 'security_and_services' THEN 'Insurance and Services'
           ELSE title_case(replace(v.category, '_', ' ')) END AS category_en,
       title_case(replace(coalesce(v.portuguese, 'desconhecida'), '_', ' ')) AS category_pt,
       CASE v.category
           WHEN 'health_beauty' THEN 'Sức khỏe và làm đẹp'
           WHEN 'computers_accessories' THEN 'Phụ kiện máy tính'
           WHEN 'auto' THEN 'Ô tô'
           WHEN 'bed_bath_table' THEN 'Giường, phòng tắm và bàn ăn'
           WHEN 'furniture_decor' THEN 'Nội thất và trang trí'
           WHEN 'sports_leisure' THEN 'Thể thao và giải trí'
           WHEN 'perfumery' THEN 'Nước hoa'
           WHEN 'housewares' THEN 'Đồ gia dụng'
           WHEN 'telephony' THEN 'Điện thoại'
           WHEN 'watches_gifts' THEN 'Đồng hồ và quà tặng'
           WHEN 'food_drink' THEN 'Thực phẩm và đồ uống'
           WHEN 'baby' THEN 'Mẹ và bé'
           WHEN 'stationery' THEN 'Văn phòng phẩm'
           WHEN 'tablets_printing_image' THEN 'Máy tính bảng và in ảnh'
           WHEN 'toys' THEN 'Đồ chơi'
           WHEN 'fixed_telephony' THEN 'Điện thoại cố định'
           WHEN 'garden_tools' THEN 'Dụng cụ làm vườn'
           WHEN 'fashion_bags_accessories' THEN 'Túi xách và phụ kiện thời trang'
           WHEN 'small_appliances' THEN 'Đồ điện nhỏ'
           WHEN 'consoles_games' THEN 'Máy chơi game'
           WHEN 'audio' THEN 'Âm thanh'
           WHEN 'fashion_shoes' THEN 'Giày dép'
           WHEN 'cool_stuff' THEN 'Đồ độc đáo'
           WHEN 'luggage_accessories' THEN 'Va li và phụ kiện'
           WHEN 'air_conditioning' THEN 'Điều hòa không khí'
           WHEN 'construction_tools_construction' THEN 'Dụng cụ xây dựng'
           WHEN 'kitchen_dining_laundry_garden_furniture' THEN 'Nội thất bếp, phòng ăn, giặt là và sân vườn'
           WHEN 'costruction_tools_garden' THEN 'Dụng cụ xây dựng sân vườn'
           WHEN 'fashion_male_clothing' THEN 'Thời trang nam'
           WHEN 'pet_shop' THEN 'Thú cưng'
           WHEN 'office_furniture' THEN 'Nội thất văn phòng'
           WHEN 'market_place' THEN 'Chợ trực tuyến'
           WHEN 'electronics' THEN 'Điện tử'
           WHEN 'home_appliances' THEN 'Thiết bị gia đình'
           WHEN 'party_supplies' THEN 'Đồ dùng tiệc'
           WHEN 'home_confort' THEN 'Tiện nghi gia đình'
           WHEN 'costruction_tools_tools' THEN 'Dụng cụ cầm tay'
           WHEN 'agro_industry_and_commerce' THEN 'Nông nghiệp và thương mại'
           WHEN 'furniture_mattress_and_upholstery' THEN 'Nệm và đồ bọc'
           WHEN 'books_technical' THEN 'Sách kỹ thuật'
           WHEN 'home_construction' THEN 'Xây dựng nhà cửa'
           WHEN 'musical_instruments' THEN 'Nhạc cụ'
           WHEN 'furniture_living_room' THEN 'Nội thất phòng khách'
           WHEN 'construction_tools_lights' THEN 'Đèn và chiếu sáng'
           WHEN 'industry_commerce_and_business' THEN 'Công nghiệp và kinh doanh'
           WHEN 'food' THEN 'Thực phẩm'
           WHEN 'art' THEN 'Nghệ thuật'
           WHEN 'furniture_bedroom' THEN 'Nội thất phòng ngủ'
           WHEN 'books_general_interest' THEN 'Sách phổ thông'
           WHEN 'construction_tools_safety' THEN 'Thiết bị an toàn xây dựng'
           WHEN 'fashion_underwear_beach' THEN 'Đồ lót và đồ bơi'
           WHEN 'fashion_sport' THEN 'Thời trang thể thao'
           WHEN 'signaling_and_security' THEN 'Báo hiệu và an ninh'
           WHEN 'computers' THEN 'Máy tính'
           WHEN 'christmas_supplies' THEN 'Đồ Giáng sinh'
           WHEN 'fashio_female_clothing' THEN 'Thời trang nữ'
           WHEN 'home_appliances_2' THEN 'Thiết bị gia đình 2'
           WHEN 'books_imported' THEN 'Sách nhập khẩu'
           WHEN 'drinks' THEN 'Đồ uống'
           WHEN 'cine_photo' THEN 'Phim và máy ảnh'
           WHEN 'la_cuisine' THEN 'Ẩm thực'
           WHEN 'music' THEN 'Âm nhạc'
           WHEN 'home_comfort_2' THEN 'Tiện nghi gia đình 2'
           WHEN 'small_appliances_home_oven_and_coffee' THEN 'Lò nướng và máy pha cà phê'
           WHEN 'cds_dvds_musicals' THEN 'CD và DVD ca nhạc'
           WHEN 'dvds_blu_ray' THEN 'DVD và Blu-ray'
           WHEN 'flowers' THEN 'Hoa'
           WHEN 'arts_and_craftmanship' THEN 'Thủ công mỹ nghệ'
           WHEN 'diapers_and_hygiene' THEN 'Tã và vệ sinh'
           WHEN 'fashion_childrens_clothes' THEN 'Thời trang trẻ em'
           WHEN 'security_and_services' THEN 'Bảo hiểm và dịch vụ'
           WHEN 'pc_gamer' THEN 'Máy tính chơi game'
           WHEN 'portateis_cozinha_e_preparadores_de_alimentos' THEN 'Máy chế biến thực phẩm'
           WHEN 'unknown' THEN 'Chưa rõ'
           ELSE title_case(replace(v.category, '_', ' ')) END AS category_vi,
       v.name_length AS name_length, v.description_length AS description_length,
       v.photos_qty AS photos_qty, v.weight_g AS weight_g, v.length_cm AS length_cm,
       v.height_cm AS height_cm, v.width_cm AS width_cm,
       from_micros(v.opened_at) AS valid_from, from_micros(v.closed_at) AS valid_to,
       CASE WHEN v.closed_at IS NULL THEN 1 ELSE 0 END AS is_current
FROM named v
UNION ALL
SELECT 0, 'unknown', 'unknown', 'Unknown', 'Desconhecida', 'Chưa rõ', NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, from_micros(0), NULL, 1
