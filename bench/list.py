# Lists an account as METI's authentication page shows it, with requests.
import json, resource, sys, time

import requests

base, page, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
before = resource.getrusage(resource.RUSAGE_SELF)
begin = time.monotonic()
sources = vertices = offset = 0
total = 0.0
session = requests.Session()
while True:
    answer = session.get(base + "/sources", params={"limit": page, "offset": offset}, headers={"Authorization": "Bearer token"})
    answer.raise_for_status()
    batch = answer.json()
    if not batch:
        break
    for source in batch:
        if mode == "coordinates":
            for ring in source["geometry"]["coordinates"]:
                vertices += len(ring)
                total += ring[0][0] + ring[0][1]
    sources += len(batch)
    offset += len(batch)
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "sources": sources, "vertices": vertices, "sum": total,
    "wall": time.monotonic() - begin,
    "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    "peak": after.ru_maxrss << 10,
}))
