package api

import (
	"context"
	"log/slog"
	"time"
)

// Attempt is what a hook is told of one attempt. It holds no token, no query
// and no source.
type Attempt struct {
	Operation string        // operationId of openapi.yaml
	Number    int           // 1 for the first attempt of a call
	Status    int           // 0 where no answer came
	Duration  time.Duration // token, request and answer; without the time that the consumer of a listing took
	Sent      int64         // bytes of the request's body
	Received  int64         // bytes of the answer's body, as they came over the wire
	Repeat    bool          // another attempt follows
	Wait      time.Duration // before that one
	Err       error         // what went wrong, nil if nothing did
}

// LogAttempts makes a hook that logs: attempts that went well at Debug, those
// that are repeated at Info, and those that ended a call in failure at Warn.
//
//	api.New(api.FromEnv(), api.WithHook(api.LogAttempts(slog.Default())))
func LogAttempts(logger *slog.Logger) func(context.Context, Attempt) {
	return func(ctx context.Context, attempt Attempt) {
		level := slog.LevelDebug
		attributes := []slog.Attr{
			slog.String("operation", attempt.Operation), slog.Int("attempt", attempt.Number), slog.Int("status", attempt.Status),
			slog.Duration("duration", attempt.Duration), slog.Int64("sent", attempt.Sent), slog.Int64("received", attempt.Received),
		}
		if attempt.Err != nil {
			level = slog.LevelWarn
			attributes = append(attributes, slog.String("error", attempt.Err.Error()))
		}
		if attempt.Repeat {
			level = slog.LevelInfo
			attributes = append(attributes, slog.Duration("wait", attempt.Wait))
		}
		logger.LogAttrs(ctx, level, "METI request", attributes...)
	}
}
