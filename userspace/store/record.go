// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// checksumLen is the length of a record's CRC-32C in hex, and a blank.
const checksumLen = 9

func checksum(body []byte) string {
	return fmt.Sprintf("%08x ", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// encode returns the JSON of v behind its checksum.
func encode(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte(checksum(body)), body...), nil
}

func decode(record []byte, v any) error {
	if len(record) < checksumLen {
		return fmt.Errorf("%w: %d bytes", ErrCorrupt, len(record))
	}
	body := record[checksumLen:]
	if want := checksum(body); string(record[:checksumLen]) != want {
		return fmt.Errorf("%w: checksum %q where %q is right", ErrCorrupt, record[:checksumLen], want)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return nil
}

// loadBucket decodes all records of a bucket in the order of their keys.
func loadBucket[T any](tx *bolt.Tx, name []byte, id func(*T) string) ([]T, error) {
	bucket := tx.Bucket(name)
	if bucket == nil {
		return nil, fmt.Errorf("%w: bucket %s is missing", ErrCorrupt, name)
	}
	var all []T
	err := bucket.ForEach(func(key, record []byte) error {
		var v T
		if err := decode(record, &v); err != nil {
			return fmt.Errorf("%s %s: %w", name, key, err)
		}
		if id(&v) != string(key) {
			return fmt.Errorf("%s %s: %w: it holds id %s", name, key, ErrCorrupt, id(&v))
		}
		all = append(all, v)
		return nil
	})
	return all, err
}

// checkVersion refuses what this package doesn't know how to read.
func checkVersion(tx *bolt.Tx) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return fmt.Errorf("%w: it has no bucket %s", ErrForeign, bucketMeta)
	}
	text := bytes.Clone(meta.Get(keyVersion))
	version, err := strconv.Atoi(string(text))
	if err != nil || version < 1 {
		return fmt.Errorf("%w: format version %q", ErrCorrupt, text)
	}
	if version > Version {
		return fmt.Errorf("%w: format version %d, this one reads up to %d: start the newer fairway again", ErrNewerVersion, version, Version)
	}
	return nil
}
