//! `completions` and `man`: what shells and `man` read.

use std::fs;

use crate::program::{Program, run};

#[tokio::test]
async fn every_shell_gets_its_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&["completions", shell]).await;
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.out.contains("healthcheck") && ended.out.contains("open-to-anybody"), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"]).await.status, 2);
}

#[tokio::test]
async fn bash_completes_commands() {
    let line = format!(
        "exec bash -c 'source <(\"{program}\" completions bash); COMP_WORDS=(tokensocket pre); COMP_CWORD=1; \
         _tokensocket tokensocket pre tokensocket; echo \"${{COMPREPLY[@]}}\"'",
        program = env!("CARGO_BIN_EXE_tokensocket")
    );
    let ended = Program::shell(&line).ended().await;
    assert_eq!(ended.out, "presence\n", "{ended:?}");
}

#[tokio::test]
async fn a_page_says_what_help_says() {
    let page = run(&["man", "serve"]).await.out;
    for part in [
        ".TH tokensocket-serve 1  \"tokensocket",
        ".SH NAME",
        r"\-\-open\-to\-anybody",
        ".SH \"EXAMPLES\"",
        ".SH \"EXIT STATUS\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains('\u{1b}'), "{page}");
    let ended = run(&["man", "nonsense"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
}

#[tokio::test]
async fn every_command_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man1");
    let ended = run(&["man", "--directory", directory.to_str().unwrap()]).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    for page in ["tokensocket.1", "tokensocket-serve.1", "tokensocket-top.1", "tokensocket-bench-calls.1"] {
        let text = fs::read_to_string(directory.join(page)).unwrap();
        assert!(text.contains(".SH DESCRIPTION"), "{page}");
    }
}

#[tokio::test]
async fn every_command_that_prints_can_print_json() {
    let help = run(&["help"]).await.out;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"serve") && commands.len() > 10, "{help}");
    for command in commands {
        if ["completions", "man", "help"].contains(&command) {
            continue;
        }
        let help = run(&[command, "--help"]).await.out;
        assert!(help.contains("--json"), "{command}");
    }
}
