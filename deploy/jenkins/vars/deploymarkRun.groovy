/*
 * Runs a deploy command with markers around it, or sends one marker:
 *
 *   deploymarkRun(service: 'checkout', environment: 'prod', command: './deploy.sh',
 *                 artifact: "registry.example.com/shop@${digest}", tokenCredential: 'deploymark')
 *   deploymarkRun(service: 'checkout', environment: 'prod', phase: 'applied')
 *
 * Further options: version, url, require (true/false), args (list), install,
 * keyCredential (a "secret file"). All logic is in resources/dev/deploymark/step.sh.
 */
def call(Map options) {
    if ((options.command == null) == (options.phase == null)) {
        error("deploymarkRun: give either 'command' or 'phase'.")
    }
    String step = "${pwd(tmp: true)}/deploymark-step.sh"
    writeFile(file: step, text: libraryResource('dev/deploymark/step.sh'))

    Map names = [service: 'SERVICE', environment: 'ENVIRONMENT', artifact: 'ARTIFACT',
                 version: 'VERSION', url: 'URL', require: 'REQUIRE', install: 'INSTALL']
    List variables = names.findAll { name, _ -> options[name] != null }
                          .collect { name, variable -> "DEPLOYMARK_${variable}=${options[name]}" }
    variables << "DEPLOYMARK_ARGS=${(options.args ?: []).join('\n')}"
    variables << "DEPLOYMARK_STEP=${step}"
    variables << "DEPLOYMARK_PHASE=${options.phase ?: ''}"
    variables << "DEPLOYMARK_COMMAND=${options.command ?: ''}"

    List secrets = []
    if (options.tokenCredential) {
        secrets << string(credentialsId: options.tokenCredential, variable: 'DEPLOYMARK_TOKEN')
    }
    if (options.keyCredential) {
        secrets << file(credentialsId: options.keyCredential, variable: 'DEPLOYMARK_KEY')
    }
    withEnv(variables) {
        withCredentials(secrets) {
            // Single quotes: the shell reads the values, so that none is taken for a command.
            if (options.phase) {
                sh(label: 'deploymark', script: 'sh "$DEPLOYMARK_STEP" mark "$DEPLOYMARK_PHASE"')
            } else {
                sh(label: 'deploymark',
                   script: 'sh "$DEPLOYMARK_STEP" run -- sh -ec "$DEPLOYMARK_COMMAND"')
            }
        }
    }
}
