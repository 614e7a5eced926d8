/* A QEMU TCG plugin that counts the instructions a guest executes and tells the counts on a Unix socket.
 *
 *     qemu-system-x86_64 -accel tcg -plugin counter.so,socket=/path ...
 *
 * A connection gets one line, `instructions=N repeats=N`, and is closed. `repeats` are the iterations of REP string
 * instructions: TCG runs each as one pass of the instruction, where a CPU retires one instruction for the lot, so
 * they are kept apart. Exact for one CPU.
 *
 * The declarations are those of QEMU's plugin API, version 1 (docs/devel/tcg-plugins.rst), written out so that no
 * package of headers is needed.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, enum qemu_plugin_op, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

static volatile uint64_t instructions, repeats;
static int listener = -1;

/* REP-prefixed MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS (Intel SDM, volume 2, "REP"). */
static bool is_repeated(const uint8_t *code, size_t size)
{
    bool rep = false;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = code[i];
        if (byte == 0xf2 || byte == 0xf3)
            rep = true;
        else if (byte == 0x66 || byte == 0x67 || (byte >= 0x40 && byte <= 0x4f))
            continue; /* operand size, address size, REX */
        else
            return rep && ((byte >= 0xa4 && byte <= 0xa7) || (byte >= 0xaa && byte <= 0xaf) ||
                           (byte >= 0x6c && byte <= 0x6f));
    }
    return false;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    size_t all = qemu_plugin_tb_n_insns(block), plain = all;
    (void)id;
    for (size_t i = 0; i < all; i++) {
        struct qemu_plugin_insn *one = qemu_plugin_tb_get_insn(block, i);
        if (is_repeated(qemu_plugin_insn_data(one), qemu_plugin_insn_size(one))) {
            plain--;
            qemu_plugin_register_vcpu_insn_exec_inline(one, QEMU_PLUGIN_INLINE_ADD_U64, (void *)&repeats, 1);
        }
    }
    if (plain)
        qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, (void *)&instructions, plain);
}

static void *answer(void *unused)
{
    (void)unused;
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection < 0)
            return NULL;
        char line[96];
        int length = snprintf(line, sizeof line, "instructions=%" PRIu64 " repeats=%" PRIu64 "\n", instructions, repeats);
        if (send(connection, line, length, MSG_NOSIGNAL) < 0) { /* whoever asked has gone */
        }
        close(connection);
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "socket=", 7))
            snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[i] + 7);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (void *)&address, sizeof address) || listen(listener, 8)) {
        perror("counter: socket");
        return 1;
    }
    /* QEMU's signals stay QEMU's */
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&thread, NULL, answer, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return failed;
}
