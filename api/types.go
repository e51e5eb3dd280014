package api

import (
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/wire"
)

// Time is a date and time as METI writes it.
type Time = wire.Time

// Date is the start of a day in UTC: a short way to write a period's ends.
func Date(year int, month time.Month, day int) Time { return wire.Date(year, month, day) }

// The values of openapi.yaml. The sets are open: METI may answer others, and
// may take them.
const (
	MethodologyAgriculture        = gen.MethodologyAgriculture
	MethodologyBiocharProduction  = gen.MethodologyBiocharProduction
	MethodologyReforestation      = gen.MethodologyReforestation
	MethodologyWetlandRestoration = gen.MethodologyWetlandRestoration

	SourceTypeField          = gen.SourceTypeField
	SourceTypeFacility       = gen.SourceTypeFacility
	SourceTypeDevice         = gen.SourceTypeDevice
	SourceTypeProgram        = gen.SourceTypeProgram
	SourceTypeJurisdictional = gen.SourceTypeJurisdictional

	AttributeTypeCarbonRemoval   = gen.AttributeTypeCarbonRemoval
	AttributeTypeCarbonAvoidance = gen.AttributeTypeCarbonAvoidance
	AttributeTypeCIScore         = gen.AttributeTypeCIScore
	AttributeTypeBiodiversity    = gen.AttributeTypeBiodiversity
	AttributeTypeRenewableEnergy = gen.AttributeTypeRenewableEnergy
	AttributeTypeWaterQuality    = gen.AttributeTypeWaterQuality
	AttributeTypeWaterQuantity   = gen.AttributeTypeWaterQuantity

	GeometrySourceCustodianDrawn   = gen.GeometrySourceCustodianDrawn
	GeometrySourceAuthoritativeGIS = gen.GeometrySourceAuthoritativeGIS
	GeometrySourceExternalRegistry = gen.GeometrySourceExternalRegistry
)
