// Package ledger computes, offline and in pure Go, what METI's ledger computes
// when sources are registered: whether a feature is valid, how many hectares
// it has, in which country it lies, which sources it conflicts with and how
// much of it they cover.
//
// The rules are those of open-meti, MillPont's public ledger database (tag [D]
// in the comments): PostgreSQL 15 with PostGIS 3.3 on GEOS 3.11. The package
// agrees with that database, including where it is laxer than its
// documentation: a Point, a clockwise shell or a longitude of 190 is taken.
// Such things are reported as warnings, and as errors under [Rules].Strict.
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
// problems found, not the first. [Conflicts] judges a newcomer against
// candidates that the caller found, for instance in a spatial index, with the
// box from [Shape.SearchBox]. [Overlap] gives the share that is covered.
// [Check] does all of it for a list in memory, and [Batch] for one that does
// not fit there.
//
// Every value is safe for use by many goroutines at once, unless its comment
// says otherwise. The package reads no clock but in [ParseFeature] (for words
// such as "tomorrow", and only when [Rules].Now is zero), opens no file and
// starts goroutines nowhere but in [Check] and [Batch.Judge], which wait for
// them.
package ledger
