FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-X github.com/switchyard-dev/switchyard/cli.version=$VERSION" -o /switchyard .

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /switchyard /switchyard
USER 65532
ENV SWITCHYARD_ADDR=0.0.0.0:8080 SWITCHYARD_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/switchyard"]
CMD ["serve", "--config", "/etc/switchyard.yaml"]
