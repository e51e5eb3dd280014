package api

import (
	"encoding/json"

	"github.com/meti-go/meti/gen"
)

func encodeFeatures(request SourceCreateFeatures) ([]byte, error) {
	collection := request.FeatureCollection
	collection.Type = gen.FeatureCollectionTypeFeatureCollection
	features := make([]Feature, len(collection.Features))
	for i, feature := range collection.Features {
		feature.Type = gen.FeatureTypeFeature
		features[i] = feature
	}
	collection.Features = features
	request.FeatureCollection = gen.FeatureCollection{}
	shared, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if string(shared) == `{"feature_collection":{"features":null,"type":""}}` {
		return json.Marshal(collection)
	}
	request.FeatureCollection = collection
	return json.Marshal(request)
}

func encodeOne(request SourceCreate) ([]byte, error) { return json.Marshal(request) }
