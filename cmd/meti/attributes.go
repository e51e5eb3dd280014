package main

import (
	"github.com/spf13/cobra"

	"github.com/meti-go/meti/api"
)

// attributes are the flags that say what the sources to register share.
type attributes struct {
	methodology, sourceType, geometrySource string
	attributeTypes, tags, constituents      []string
	stewardID, projectID, accountID         string
	measurementPointID                      string
	year                                    int
}

func attributeFlags(cmd *cobra.Command) *attributes {
	at := new(attributes)
	flags := cmd.Flags()
	flags.StringVar(&at.methodology, "methodology", "", "how the outcome is produced, such as Agriculture")
	flags.StringVar(&at.sourceType, "source-type", "", "FIELD, FACILITY, DEVICE, PROGRAM or JURISDICTIONAL")
	flags.StringArrayVar(&at.attributeTypes, "attribute-type", nil, "what is claimed, such as CARBON_REMOVAL; may be repeated")
	flags.StringVar(&at.geometrySource, "geometry-source", "", "CUSTODIAN_DRAWN, AUTHORITATIVE_GIS or EXTERNAL_REGISTRY")
	flags.StringArrayVar(&at.tags, "tag", nil, "a label; may be repeated")
	flags.StringVar(&at.stewardID, "steward-id", "", "the steward of the land")
	flags.StringVar(&at.projectID, "project-id", "", "the project")
	flags.IntVar(&at.year, "year", 0, "the year for which the outcome is reported")
	flags.StringVar(&at.accountID, "account-id", "", "the account to register for (admins)")
	flags.StringVar(&at.measurementPointID, "measurement-point-id", "", "where a DEVICE measures")
	flags.StringArrayVar(&at.constituents, "constituent-ssid", nil, "a source that a PROGRAM or JURISDICTIONAL source is made of; may be repeated")
	return at
}

// apply puts the flags that were given in place of what the request says.
func (at *attributes) apply(r *api.SourceCreateFeatures) {
	text(&r.Methodology, at.methodology)
	text(&r.SourceType, at.sourceType)
	text(&r.GeometrySource, at.geometrySource)
	text(&r.StewardID, at.stewardID)
	text(&r.ProjectID, at.projectID)
	text(&r.AccountID, at.accountID)
	text(&r.MeasurementPointID, at.measurementPointID)
	texts(&r.AttributeType, at.attributeTypes)
	texts(&r.Tags, at.tags)
	texts(&r.ConstituentSSIDs, at.constituents)
	if at.year != 0 {
		r.OutcomeReportingYear = &at.year
	}
}

// applyOne is apply for one flat source.
func (at *attributes) applyOne(r *api.SourceCreate) {
	text(&r.Methodology, at.methodology)
	text(&r.SourceType, at.sourceType)
	text(&r.GeometrySource, at.geometrySource)
	text(&r.StewardID, at.stewardID)
	text(&r.ProjectID, at.projectID)
	text(&r.AccountID, at.accountID)
	text(&r.MeasurementPointID, at.measurementPointID)
	texts(&r.AttributeType, at.attributeTypes)
	texts(&r.Tags, at.tags)
	texts(&r.ConstituentSSIDs, at.constituents)
	if at.year != 0 {
		r.OutcomeReportingYear = &at.year
	}
}

func text[T ~string](into **T, value string) {
	if value != "" {
		v := T(value)
		*into = &v
	}
}

func texts[T ~string](into *[]T, values []string) {
	if len(values) == 0 {
		return
	}
	*into = nil
	for _, value := range values {
		*into = append(*into, T(value))
	}
}
