/* SPDX-License-Identifier: Apache-2.0 */
#include "data/data_int.h"
#include "data/row.h"
#include "test.h"

TEST("the checksum is not CRC-32C")
{
    char zeros[32] = {0}; /* RFC 3720 B.4 */
    CHECK_INT(crc32c(0, SLICE("123456789")), 0xE3069283);
    CHECK_INT(crc32c(0, slice_of(zeros, sizeof zeros)), 0x8A9136AA);
    CHECK_INT(crc32c(0, SLICE("")), 0);
}

TEST("the checksum of the tables differs from the processor's, or of two parts from the whole")
{
    char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)test_random();
    for (size_t start = 0; start < 9; start++) {
        for (size_t size = 0; size + start <= sizeof bytes; size++) {
            Slice s = slice_of(bytes + start, size);
            uint32_t crc = crc32c(0, s);
            CHECK_INT(data__crc32c_tables(0, s), crc);
            size_t half = size / 3;
            uint32_t first = crc32c(0, slice_of(s.data, half));
            CHECK_INT(crc32c(first, slice_of(s.data + half, size - half)), crc);
        }
    }
}
