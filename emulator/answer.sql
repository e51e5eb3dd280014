-- A source as METI answers it: a JSON object. The ids of those it conflicts
-- with come in the order in which the conflicts came up.
SELECT '{"id":"' || s.ssid || '","created_at":"' || s.created || '","updated_at":"' || s.changed || '",'
    || substr(s.document, 2, length(s.document) - 2)
    || ',"conflict":' || iif(s.others = '[]', 'false', 'true')
    || ',"conflict_with":' || (SELECT json_group_array(o.ssid ORDER BY j.key) FROM json_each(s.others) j JOIN source o ON o.id = j.value)
    || ',"percent_overlap":' || coalesce(s.share, 'null')
    || ',"geometry":' || s.geometry || '}'
FROM source s
