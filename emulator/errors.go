package emulator

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// METI answers errors in three shapes; see the schema Error of openapi.yaml.

// writeDetail answers {"detail": "text"}, the usual shape [L].
func writeDetail(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, map[string]any{"detail": detail})
}

// fieldError is one entry of writeFields.
type fieldError struct {
	Loc  []any  `json:"loc"` // "body" or "query", then names and indexes
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// writeFields answers {"detail": [{"loc", "msg", "type"}]} with 422, the
// framework's validation error [L].
func writeFields(w http.ResponseWriter, fields ...fieldError) {
	writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"detail": fields})
}

// writeMessage answers {"status": 500, "message": "text"}, the older shape [V1].
func writeMessage(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"status": status, "message": message})
}

// writeTokenError answers as Auth0 does (RFC 6749, section 5.2).
func writeTokenError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // made of strings and numbers only
	}
	writeBytes(w, status, body)
}

func writeBytes(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}
