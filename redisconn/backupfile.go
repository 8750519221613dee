package redisconn

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// The file: one JSON line (backupHeader); for each key 'K', key, expiry, digest,
// dump; at the end 'E', the number of keys, and the sha256 of everything before it.
// Lengths and numbers are varints of encoding/binary.

// maxField bounds one field when reading, so that a corrupt length does not exhaust
// memory. Redis's own limit is 512 MB.
const maxField = 512 << 20

type backupWriter struct {
	w    *bufio.Writer
	sum  hash.Hash
	keys int64
	buf  []byte
}

func newBackupWriter(f io.Writer, h backupHeader) (*backupWriter, error) {
	w := &backupWriter{sum: sha256.New()}
	w.w = bufio.NewWriterSize(io.MultiWriter(f, w.sum), 1<<20)
	line, err := h.line()
	if err != nil {
		return nil, err
	}
	_, err = w.w.Write(line)
	return w, err
}

func (w *backupWriter) entry(e entry) error {
	b := append(w.buf[:0], 'K')
	b = appendField(b, e.key)
	b = binary.AppendVarint(b, e.expireAt)
	b = append(b, e.digest[:]...)
	b = appendField(b, e.dump)
	w.buf = b
	w.keys++
	_, err := w.w.Write(b)
	return err
}

// finish writes the count and the checksum and flushes.
func (w *backupWriter) finish() ([]byte, error) {
	if _, err := w.w.Write(binary.AppendVarint([]byte{'E'}, w.keys)); err != nil {
		return nil, err
	}
	if err := w.w.Flush(); err != nil { // the checksum covers everything up to here
		return nil, err
	}
	sum := w.sum.Sum(nil)
	if _, err := w.w.Write(sum); err != nil {
		return nil, err
	}
	return sum, w.w.Flush()
}

func appendField(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// hashReader passes bytes through and hashes exactly those that were consumed.
type hashReader struct {
	r   *bufio.Reader
	sum hash.Hash
}

// ReadByte implements io.ByteReader.
func (h *hashReader) ReadByte() (byte, error) {
	b, err := h.r.ReadByte()
	if err == nil {
		h.sum.Write([]byte{b})
	}
	return b, err
}

// Read implements io.Reader.
func (h *hashReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.sum.Write(p[:n])
	return n, err
}

// readBackup passes every entry of a file to f, then checks the count and the
// checksum.
func readBackup(
	f io.Reader, each func(entry) error,
) (h backupHeader, keys int64, sum []byte, err error) {
	r := &hashReader{r: bufio.NewReaderSize(f, 1<<20), sum: sha256.New()}
	line, err := readLine(r)
	if err != nil || json.Unmarshal(line, &h) != nil || h.Format != backupFormat {
		return h, 0, nil, errors.New("not a backup file of this program")
	}
	for {
		kind, err := r.ReadByte()
		if err != nil {
			return h, keys, nil, cut(err)
		}
		if kind == 'E' {
			break
		}
		if kind != 'K' {
			return h, keys, nil, fmt.Errorf("damaged after %d keys", keys)
		}
		e, err := readEntry(r)
		if err != nil {
			return h, keys, nil, cut(err)
		}
		keys++
		if err := each(e); err != nil {
			return h, keys, nil, err
		}
	}
	count, err := binary.ReadVarint(r)
	if err != nil {
		return h, keys, nil, cut(err)
	}
	want := r.sum.Sum(nil)
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r.r, got); err != nil {
		return h, keys, nil, cut(err)
	}
	switch _, err := r.r.ReadByte(); {
	case err != io.EOF:
		return h, keys, nil, errors.New("unexpected data after the end")
	case count != keys:
		return h, keys, nil, fmt.Errorf("%d keys, expected %d", keys, count)
	case !bytes.Equal(got, want):
		return h, keys, nil, errors.New("the checksum does not match: the file is damaged")
	}
	return h, keys, want, nil
}

func readLine(r *hashReader) ([]byte, error) {
	var line []byte
	for len(line) < 4096 {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		if b == '\n' {
			return line, nil
		}
		line = append(line, b)
	}
	return nil, errors.New("first line too long")
}

func readEntry(r *hashReader) (e entry, err error) {
	if e.key, err = readField(r); err != nil {
		return e, err
	}
	if e.expireAt, err = binary.ReadVarint(r); err != nil {
		return e, err
	}
	if _, err = io.ReadFull(r, e.digest[:]); err != nil {
		return e, err
	}
	e.dump, err = readField(r)
	return e, err
}

func readField(r *hashReader) (string, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return "", err
	}
	if n > maxField {
		return "", errors.New("damaged: a length beyond any key or value")
	}
	var b bytes.Buffer // grows only with what is really there
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return "", err
	}
	return b.String(), nil
}

func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends too early")
	}
	return err
}
