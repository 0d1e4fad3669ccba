package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

type duration = time.Duration

// field sets one value of a Config from what a flag, the environment (strings) or TOML (also int64,
// bool, []any) holds, and shows it as TOML. Strings are taken for every type, as nsqlookupd takes
// them from its file (mreiferson/go-options, options.go).
type field interface {
	set(c *Config, value any) error
	show(c *Config) string
}

func mismatch(want string, value any) error {
	return fmt.Errorf("must be %s, not %v", want, value)
}

type textField func(*Config) *string

func (f textField) set(c *Config, value any) error {
	s, ok := value.(string)
	if !ok {
		return mismatch("a string", value)
	}
	*f(c) = s
	return nil
}

func (f textField) show(c *Config) string { return strconv.Quote(*f(c)) }

// wordField is a text in which upper and lower case are the same.
type wordField func(*Config) *string

func (f wordField) set(c *Config, value any) error {
	err := textField(f).set(c, value)
	*f(c) = strings.ToLower(*f(c))
	return err
}

func (f wordField) show(c *Config) string { return textField(f).show(c) }

type durationField func(*Config) *duration

func (f durationField) set(c *Config, value any) error {
	switch v := value.(type) {
	case string:
		d, err := time.ParseDuration(v)
		if err != nil {
			return mismatch(`a duration like "45s" or "700ms"`, strconv.Quote(v))
		}
		*f(c) = d
	case int64: // milliseconds, as nsqlookupd reads them
		if v > math.MaxInt64/int64(time.Millisecond) || v < math.MinInt64/int64(time.Millisecond) {
			return errors.New("is out of range")
		}
		*f(c) = time.Duration(v) * time.Millisecond
	default:
		return mismatch(`a duration like "45s", or an integer of milliseconds`, value)
	}
	return nil
}

func (f durationField) show(c *Config) string {
	s := f(c).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	return strconv.Quote(s)
}

type countField func(*Config) *int

func (f countField) set(c *Config, value any) error {
	var n int64
	switch v := value.(type) {
	case string:
		parsed, err := strconv.ParseInt(v, 10, 32)
		if err != nil {
			return mismatch("a whole number", strconv.Quote(v))
		}
		n = parsed
	case int64:
		n = v
	default:
		return mismatch("a whole number", value)
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return errors.New("is out of range")
	}
	*f(c) = int(n)
	return nil
}

func (f countField) show(c *Config) string { return strconv.Itoa(*f(c)) }

type boolField func(*Config) *bool

func (f boolField) set(c *Config, value any) error {
	b, err := parseBool(value)
	if err == nil {
		*f(c) = b
	}
	return err
}

func (f boolField) show(c *Config) string { return strconv.FormatBool(*f(c)) }

func parseBool(value any) (bool, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b, nil
		}
		return false, mismatch("true or false", strconv.Quote(v))
	default:
		return false, mismatch("true or false", value)
	}
}

// listField takes a list, or a string with commas. Empty parts are left out.
type listField func(*Config) *[]string

func (f listField) set(c *Config, value any) error {
	var list []string
	switch v := value.(type) {
	case string:
		list = splitList(v)
	case []any:
		for _, part := range v {
			s, ok := part.(string)
			if !ok {
				return mismatch("a list of strings", value)
			}
			list = append(list, splitList(s)...)
		}
	default:
		return mismatch("a string or a list of strings", value)
	}
	*f(c) = list
	return nil
}

func splitList(s string) []string {
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func (f listField) show(c *Config) string {
	quoted := make([]string, 0, len(*f(c)))
	for _, s := range *f(c) {
		quoted = append(quoted, strconv.Quote(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// ignored belongs to an option without a value in the Config.
type ignored struct{ boolean bool }

func (ignored) set(*Config, any) error { return nil }

func (i ignored) show(*Config) string {
	if i.boolean {
		return "false"
	}
	return `""`
}
