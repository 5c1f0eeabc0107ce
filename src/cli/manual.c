/* SPDX-License-Identifier: MIT
 *
 * Manual pages in roff, with the man macros that groff and mandoc both know.
 */
#include "manual.h"

#include <inttypes.h>
#include <string.h>

#include <chappe/chappe.h>

#include "command.h"
#include "help.h"
#include "mechanisms.h"
#include "text.h"

/* A character beyond ASCII by its number, so that no program has to guess the encoding. */
static void manual_character(struct output *output, const char *text, size_t length) {
    uint32_t code = (unsigned char)text[0] & (0xFFU >> (length + 1));

    for (size_t i = 1; i < length; i++) {
        code = code << 6 | ((unsigned char)text[i] & 0x3FU);
    }
    output_format(output, "\\[u%04" PRIX32 "]", code);
}

/* Text as roff: nothing in it is taken as a request or an escape. */
static void manual_bytes(struct output *output, const char *text, size_t size, bool starts) {
    for (size_t i = 0; i < size; i++) {
        size_t length = text_character((const unsigned char *)text + i, size - i);

        if (starts && (text[i] == '.' || text[i] == '\'')) {
            output_text(output, "\\&");
        }
        if (text[i] == '\\') {
            output_text(output, "\\e");
        } else if (text[i] == '-') {
            output_text(output, "\\-");
        } else if (text[i] == '\'') {
            output_text(output, "\\(aq");
        } else if (length > 1) {
            manual_character(output, text + i, length);
            i += length - 1;
        } else {
            output_bytes(output, &text[i], 1);
        }
        starts = text[i] == '\n';
    }
}

static void manual_text(struct output *output, const char *text) {
    manual_bytes(output, text, strlen(text), true);
}

/* A request with one argument, which is quoted. */
static void manual_request(struct output *output, const char *request, const char *text) {
    output_format(output, ".%s \"", request);
    manual_text(output, text);
    output_text(output, "\"\n");
}

/* Paragraphs: blank lines part them, lines that begin with a blank are kept. */
static void manual_paragraphs(struct output *output, const char *text) {
    bool kept = false, parted = false;

    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        bool keep = *text == ' ';

        if (size == 0) {
            parted = true;
        } else {
            if (keep != kept || parted) {
                output_format(output, "%s.PP\n%s", kept ? ".EE\n" : "", keep ? ".EX\n" : "");
            }
            manual_bytes(output, text, size, true);
            output_text(output, "\n");
            kept = keep;
            parted = false;
        }
        text += size + (text[size] == '\n');
    }
    if (kept) {
        output_text(output, ".EE\n");
    }
}

static void manual_head(struct output *output, const char *title, const char *section,
                        const char *name, const char *summary) {
    output_format(output,
                  ".\\\" Made by the program from its own tables.\n"
                  ".TH %s %s \"" CHAPPE_RELEASE_DATE "\" \"chappe %s\" \"chappe\"\n.SH NAME\n",
                  title, section, chappe_version());
    manual_text(output, name);
    output_text(output, " \\- ");
    manual_text(output, summary);
    output_text(output, "\n");
}

static void manual_command(const struct command *command, struct output *output) {
    output_format(output, ".SS \"chappe %s ", command->name);
    manual_text(output, command->usage);
    output_text(output, "\"\n");
    manual_paragraphs(output, command->summary);
    output_text(output, ".PP\n");
    manual_paragraphs(output, command->description);
    for (const struct option_row *row = command->options; row->name != NULL; row++) {
        output_text(output, ".TP\n\\fB\\-\\-");
        manual_text(output, row->name);
        output_text(output, "\\fR");
        if (row->argument != NULL) {
            output_format(output, " \\fI%s\\fR", row->argument);
        }
        output_text(output, "\n");
        manual_paragraphs(output, row->summary);
    }
    output_text(output, ".PP\nExamples:\n");
    for (const struct example *example = command->examples; example->line != NULL; example++) {
        output_text(output, ".TP\n\\fB");
        manual_text(output, example->line);
        output_text(output, "\\fR\n");
        manual_paragraphs(output, example->meaning);
    }
}

void manual_program(struct output *output) {
    const chappe_row *row;

    manual_head(output, "CHAPPE", "1", "chappe",
                "messages between processes, over every mechanism that Linux has");
    output_text(output, ".SH SYNOPSIS\n\\fBchappe\\fR \\fICOMMAND\\fR [\\fIWORDS\\fR] "
                        "[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n");
    manual_paragraphs(output,
                      "Sends, receives, answers and compares messages over the mechanisms that "
                      "chappe-mechanisms(7) describes. Which mechanism is used is written in the "
                      "address and nowhere else.\n\nData is written to standard output, words for "
                      "people to standard error. Durations are 250ms, 2s, 1m; a bare number is "
                      "seconds. Sizes are 64, 4K, 1M.");
    output_text(output, ".SH COMMANDS\n");
    for (const struct command *command = commands; command->name != NULL; command++) {
        manual_command(command, output);
    }
    output_text(output, ".SH ADDRESSES\n");
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        output_text(output, ".TP\n\\fB");
        manual_text(output, row->form);
        output_text(output, "\\fR\n");
        manual_paragraphs(output, row->summary);
    }
    output_text(output, ".SH EXIT STATUS\n");
    for (const struct exit_row *exits = help_exits; exits->meaning != NULL; exits++) {
        output_format(output, ".TP\n%d\n", exits->status);
        manual_paragraphs(output, exits->meaning);
    }
    output_text(output, ".SH ENVIRONMENT\n");
    output_text(output, ".TP\nCHAPPE_LOG\n\\fIwarning\\fR or \\fIdebug\\fR: the library tells on "
                        "standard error what it does.\n"
                        ".TP\nNO_COLOR\nNo colours, also on a terminal.\n"
                        ".TP\nTMPDIR\nWhere \\fBchappe tour\\fR makes its temporary directory.\n"
                        ".SH SEE ALSO\nchappe\\-tutorial(7), chappe\\-mechanisms(7)\n");
}

static void manual_mechanism(const chappe_row *row, struct output *output) {
    manual_request(output, "SS", row->form);
    manual_paragraphs(output, row->summary);
    output_text(output, ".PP\n");
    manual_paragraphs(output, row->manual);
    for (size_t i = 0; row->options[i] != NULL; i++) {
        const char *option = row->options[i];
        const char *meaning = strstr(option, "  ");
        size_t length = meaning != NULL ? (size_t)(meaning - option) : strlen(option);

        output_text(output, ".TP\n\\fB");
        manual_bytes(output, option, length, true);
        output_text(output, "\\fR\n");
        manual_paragraphs(output, meaning != NULL ? meaning + strspn(meaning, " ") : "");
    }
    for (size_t left = CHAPPE_ACTS + 1; left > CHAPPE_REFUSES; left--) {
        static const char *const words[] = {[CHAPPE_REFUSES] = "Refuses",
                                            [CHAPPE_CARRIES] = "Only carries",
                                            [CHAPPE_ACTS] = "Acts on, or has"};
        const char *separator = "";
        size_t support = left - 1;

        output_format(output, ".TP\n%s\n", words[support]);
        for (size_t i = 0; i < CHAPPE_CAPABILITY_COUNT; i++) {
            if (mechanisms_support(row, i) == support) {
                output_text(output, separator);
                manual_text(output, chappe_capability_name(i));
                separator = ", ";
            }
        }
        output_text(output, separator[0] == '\0' ? "nothing.\n" : ".\n");
    }
    output_text(output, ".TP\nkill \\-9 of the sender loses\n");
    manual_paragraphs(output, row->lost_with_sender);
    output_text(output, ".TP\nkill \\-9 of the receiver loses\n");
    manual_paragraphs(output, row->lost_with_receiver);
}

void manual_mechanisms(struct output *output) {
    const chappe_row *row;

    manual_head(output, "CHAPPE-MECHANISMS", "7", "chappe-mechanisms",
                "the addresses of chappe and what stands behind them");
    output_text(output, ".SH DESCRIPTION\n");
    manual_paragraphs(
        output,
        "An address is scheme://where?option=value&option=value; %XX stands for any byte. The "
        "scheme names one of the mechanisms below. Of each property of a message or a channel "
        "a mechanism acts on it, only carries it to the receiver, or refuses it with an error.\n"
        "\nOptions of every mechanism:");
    output_text(output,
                ".TP\n\\fBframe=chappe|line|nul|length32|raw\\fR\nHow boundaries are kept: "
                "chappe's own envelope (default), a newline or a NUL byte after each message, "
                "a length of 32 bits in network order before it, or none of its own: what is "
                "read at once is a message.\n"
                ".TP\n\\fBlimit=SIZE\\fR\nThe largest message, 1G unless given.\n"
                ".TP\n\\fBchecksum=yes|no\\fR\nWhether every message carries a checksum.\n"
                ".SH MECHANISMS\n");
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++) {
        manual_mechanism(row, output);
    }
    output_text(output, ".SH SEE ALSO\nchappe(1), chappe\\-tutorial(7)\n");
}
