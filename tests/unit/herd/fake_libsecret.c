/* Stands in for libsecret-1.so.0: knows one secret, and checks how it is asked for it. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

char* secret_password_lookup_sync(const void* schema, void* cancellable, void** error, ...)
{
    va_list arguments;
    const char* name;
    int matches = 0;
    (void)cancellable;
    (void)error;
    va_start(arguments, error);
    while ((name = va_arg(arguments, const char*)) != NULL) {
        const char* value = va_arg(arguments, const char*);
        matches += (strcmp(name, "service") == 0 && strcmp(value, "ollama") == 0)
            || (strcmp(name, "username") == 0 && strcmp(value, "api-key") == 0);
    }
    va_end(arguments);
    if (schema == NULL || matches != 2) {
        return NULL;
    }
    char* copy = malloc(32);
    if (copy != NULL) {
        strcpy(copy, "key of the keyring");
    }
    return copy;
}

void secret_password_free(char* password) { free(password); }
