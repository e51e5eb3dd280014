// Package ledger computes, offline and in pure Go, what METI's ledger computes
// when sources are registered: whether a feature is valid, how many hectares
// it has, in which country it lies, which sources it conflicts with and how
// much of it they cover.
//
// The rules are those of open-meti, MillPont's public ledger database (tag [D]
// in the comments): PostgreSQL 15 with PostGIS 3.3 on GEOS 3.11. What that
// database refuses is [Problem.Refused]; what is invalid beyond that, because
// nobody can mean it, and what is worth a look, [AllRules] says.
//
// The package is as lax as that database where an API may pass a thing on: a
// Point, a clockwise shell, a longitude of 190. Times are ISO 8601 and geometry
// is RFC 7946's, though; the database reads more, such as "tomorrow", infinity
// and coordinates as text. Three more differences are known: PostGIS fails on some
// shapes with holes that are written across the antimeridian, past 180 degrees,
// which are judged here; below a square metre or so areas are noise in both; and
// the 9 metres of a shape of several degrees may be measured in another projection
// (of 4,000 pairs within 2 metres of them, 3 came out otherwise up to 5 degrees of
// width, 25 up to 30, and none up to 1).
//
// # Units and shapes
//
// Coordinates are WGS84 longitude and latitude in degrees, in that order.
// Areas are hectares on the WGS84 ellipsoid. Times are microseconds
// ([Time]), ranges hold their start and not their end. Shares are 0 to 1.
//
// # How it is used
//
// [ParseFeature] judges one GeoJSON Feature and gives its [Shape], with all
// problems found, not the first. [Conflict] judges a newcomer against a source
// that the caller found, for instance in a spatial index, with the box from
// [Shape.SearchBox]. [Overlap] gives the share that is covered.
// [Check] does all of it for a list in memory, and [Batch] for one that does
// not fit there.
//
// Every value is safe for use by many goroutines at once, unless its comment
// says otherwise. The package reads no clock, opens no file and starts
// goroutines nowhere but in [Check] and the methods of [Batch],
// which wait for them.
//
// # How it is laid out
//
// No file needs one that comes later in this order:
//
//	problem     rules, problems and limits
//	text, time  what METI can hold of JSON, and ISO 8601
//	geojson     a geometry as it stands in the text
//	shape       a geometry ready to be judged: box, centroid, hectares
//	country     the table of countries
//	validity    whether rings lie as they should
//	lint        what is judged beyond that
//	repair      what is mended
//	feature     the verdict on a feature or a collection
//	shrink      a shape less 9 metres
//	conflict    whether two sources conflict
//	overlap     percent_overlap
//	check       all of it for a list of sources
//
// Below them, internal/robust has the exact predicates and internal/proj the
// map projections.
package ledger
