/* SPDX-License-Identifier: MIT
 *
 * Making and reading files of bodies. */
#include "mechanism/body_file.h"

#include <errno.h>

#include "base/error.h"
#include "domain/domain.h"
#include "os/os.h"

#define ROOM_LEAST ((size_t)1 << 20)  /* bodies that are worth a look at the limits of memory */
#define READ_MOST ((uint64_t)4 << 20) /* larger ones are mapped */

int body_file_create(const struct carrier *carrier, const struct letter *letter) {
    int file = letter->size >= ROOM_LEAST ? domain_room(letter->size, carrier->address) : 0;
    if (file < 0)
        return file;
    file = os_sealed_body(letter->body, letter->size);
    if (file == -EFBIG)
        return error_set(file,
                         "%s: a body of %zu bytes travels as a memory file, and the limit on file "
                         "sizes of this process (ulimit -f) is lower",
                         carrier->address, letter->size);
    if (file < 0)
        return error_of(file, "%s: a memory file for a body of %zu bytes", carrier->address,
                        letter->size);
    return file;
}

static int read_failed(const struct carrier *carrier, int error, uint64_t size) {
    const char *name = carrier->address;
    if (error == -EPERM)
        return error_set(-EBADMSG, "%s: a body in a file that is not sealed against change", name);
    if (error == -EBADMSG)
        return error_set(-EBADMSG, "%s: a body in a file of another size than announced (%llu)",
                         name, (unsigned long long)size);
    return error_of(error, "%s: a body of %llu bytes in a file", name, (unsigned long long)size);
}

int body_file_read(struct carrier *carrier, int fd, uint64_t size, struct chunk **ret_chunk) {
    void *memory = NULL;
    struct chunk *chunk = NULL;
    int error;
    if (size <= READ_MOST) {
        if ((chunk = carrier_chunk(carrier, (size_t)size)) == NULL)
            return -ENOMEM;
        error = os_read_sealed(fd, chunk->bytes, (size_t)size);
        if (error < 0)
            chunk_release(chunk);
    } else if ((error = os_map_sealed(fd, size, &memory)) == 0) {
        chunk = chunk_of_mapping(carrier->store, memory, (size_t)size);
        if (chunk == NULL) {
            os_unmap(memory, (size_t)size);
            return error_of(-ENOMEM, "%s", carrier->address);
        }
        chunk->sender = carrier->peer;
        chunk->client = carrier->client;
    }
    if (error < 0)
        return read_failed(carrier, error, size);
    *ret_chunk = chunk;
    return 0;
}
