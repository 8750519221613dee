# The managed Redis of Orders of the shop, for those who apply their changes with Terraform. Made by Switchyard from its configuration; it holds no secret.
# After terraform apply, the step "Provision the managed Redis" adopts the database by its name, checks it and records the evidence.
#
#   export TF_VAR_upstash_email=... TF_VAR_upstash_api_key=... HEROKU_API_KEY=...
#   terraform init && terraform plan && terraform apply
#
# Terraform keeps the database's password in its state: keep the state as you keep a secret.

terraform {
  required_version = ">= 1.5" # strcontains
  required_providers {
    upstash = {
      source = "upstash/upstash"
    }
    heroku = {
      source = "heroku/heroku"
    }
  }
}

variable "upstash_email" {
  type = string
}

variable "upstash_api_key" {
  type      = string
  sensitive = true
}

provider "upstash" {
  email   = var.upstash_email
  api_key = var.upstash_api_key
}

provider "heroku" {}

resource "upstash_redis_database" "bullmq" {
  database_name  = "orders \"$${x}\" %%{y}"
  region         = "global"
  primary_region = "us-east-1"
  tls            = true
  eviction       = false # BullMQ loses jobs where keys are evicted
  auto_scale     = false # an upgrade changes the price

  lifecycle {
    prevent_destroy = true
  }
}

# The provider has no argument for the plan, so the database begins on the account's default, pay-as-you-go or free. BullMQ polls even when idle,
# and pay-as-you-go bills every poll: this changes the plan to Fixed 1 GB, $20 a month (vendor's price list of 2026-08-21).
resource "terraform_data" "plan" {
  triggers_replace = [upstash_redis_database.bullmq.database_id]

  provisioner "local-exec" {
    environment = {
      DATABASE_ID     = upstash_redis_database.bullmq.database_id
      UPSTASH_EMAIL   = var.upstash_email
      UPSTASH_API_KEY = var.upstash_api_key
    }
    # The credentials come by standard input: arguments are seen by everybody on the machine.
    command = <<-EOT
      printf 'user = "%s:%s"\n' "$UPSTASH_EMAIL" "$UPSTASH_API_KEY" | curl --config - --silent --show-error --fail \
        --request POST --header 'Content-Type: application/json' --data '{"plan_name":"fixed_1gb","auto_upgrade":false}' \
        "https://api.upstash.com/v2/redis/$DATABASE_ID/change-plan"
    EOT
  }
}

locals {
  # The API gives a slug or a host name.
  redis_host = strcontains(upstash_redis_database.bullmq.endpoint, ".") ? upstash_redis_database.bullmq.endpoint : "${upstash_redis_database.bullmq.endpoint}.upstash.io"
}

data "heroku_app" "app" {
  name = "shop"
}

# Setting a config var restarts the app.
resource "heroku_app_config_association" "managed_redis" {
  app_id = data.heroku_app.app.id

  sensitive_vars = {
    TARGET_REDIS_URL = "rediss://default:${urlencode(upstash_redis_database.bullmq.password)}@${local.redis_host}:${upstash_redis_database.bullmq.port}"
  }

  depends_on = [terraform_data.plan]
}
